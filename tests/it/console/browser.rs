//! The console in a real browser: what a person sees and does in it, what others cannot do to them,
//! and how it looks.

mod acts;
mod driver;
mod ends;
mod hostile;
mod looks;
mod many;
mod pages;
mod shop;
mod tab;
mod view;
