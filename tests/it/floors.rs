//! The house has floors: a module imports what is below it, and nobody imports, directly or through
//! others, who imports him.
//!
//! A name counts where it is defined, not where it is handed on: `use super::Relay` in a room of
//! the relay is an import of the file that defines `Relay`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};

/// The rooms of the daemon, from the top floor down.
const FLOORS: [&str; 8] =
    ["main", "cli", "console", "operate", "daemon", "observe", "config", "relay"];

/// One file.
#[derive(Default)]
struct Module {
    /// What it defines.
    items: BTreeSet<String>,
    /// What a name that it imports stands for: a path from the crate's root.
    names: BTreeMap<String, Vec<String>>,
    /// Every path of the crate that it mentions.
    mentions: BTreeSet<Vec<String>>,
    /// Modules that are built for tests only.
    for_tests: BTreeSet<String>,
}

/// Reads one file. Paths in macros (`tracing::info!` …) are not seen; what they need is imported.
struct Reader<'a> {
    path: &'a [String],
    module: Module,
}

impl Reader<'_> {
    /// A path from the crate's root, if it is one of this crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let first = path.first()?;
        match first.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([self.path, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|step| *step == "super").count();
                let base = self.path.get(..self.path.len().checked_sub(ups)?)?;
                Some([base, &path[ups..]].concat())
            }
            _ => None,
        }
    }

    fn import(&mut self, base: &[String], tree: &syn::UseTree, is_public: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                let base = [base, &[path.ident.to_string()]].concat();
                self.import(&base, &path.tree, is_public);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(base, tree, is_public));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.named(base, base.last().cloned(), is_public);
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.named(&[base, std::slice::from_ref(&name)].concat(), Some(name), is_public);
            }
            syn::UseTree::Rename(rename) => {
                let whole = [base, &[rename.ident.to_string()]].concat();
                self.named(&whole, Some(rename.rename.to_string()), is_public);
            }
            syn::UseTree::Glob(_) => self.named(base, None, is_public),
        }
    }

    fn named(&mut self, path: &[String], name: Option<String>, is_public: bool) {
        // A name of this module (`mod x; use x::Y;`) is a path as well.
        let own = path.first().is_some_and(|first| self.module.items.contains(first));
        let whole = if own { Some([self.path, path].concat()) } else { self.absolute(path) };
        let Some(whole) = whole else { return };
        if !is_public {
            self.module.mentions.insert(whole.clone());
        }
        if let Some(name) = name {
            self.module.names.insert(name, whole);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_for_tests(item) {
            return;
        }
        if let syn::Item::Use(used) = item {
            let is_public = !matches!(used.vis, syn::Visibility::Inherited);
            self.import(&[], &used.tree, is_public);
        }
        visit::visit_item(self, item);
    }

    /// `pub(super)` imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let steps: Vec<String> = path.segments.iter().map(|step| step.ident.to_string()).collect();
        let aliased = steps
            .split_first()
            .and_then(|(first, rest)| Some([self.module.names.get(first)?, rest].concat()));
        let own = steps.len() > 1 && self.module.items.contains(&steps[0]);
        let of_own = own.then(|| [self.path, &steps].concat());
        if let Some(whole) = aliased.or(of_own).or_else(|| self.absolute(&steps)) {
            self.module.mentions.insert(whole);
        }
        visit::visit_path(self, path);
    }
}

fn is_for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|what| what == "test")
    })
}

fn defined(item: &syn::Item) -> Option<String> {
    Some(match item {
        syn::Item::Const(item) => item.ident.to_string(),
        syn::Item::Enum(item) => item.ident.to_string(),
        syn::Item::Fn(item) => item.sig.ident.to_string(),
        syn::Item::Mod(item) => item.ident.to_string(),
        syn::Item::Static(item) => item.ident.to_string(),
        syn::Item::Struct(item) => item.ident.to_string(),
        syn::Item::Trait(item) => item.ident.to_string(),
        syn::Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}

fn read(root: &Path, folder: &Path, house: &mut BTreeMap<Vec<String>, Module>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let file = entry.expect("an entry").path();
        if file.is_dir() {
            read(root, &file, house);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&file).expect("a text");
            let syntax = syn::parse_file(&text).expect("Rust");
            let below = file.strip_prefix(root).expect("below it").with_extension("");
            let mut path: Vec<String> =
                below.iter().map(|step| step.to_string_lossy().into_owned()).collect();
            path.retain(|step| step != "lib");
            let items: BTreeSet<String> = syntax
                .items
                .iter()
                .filter(|item| !is_for_tests(item))
                .filter_map(defined)
                .collect();
            let for_tests =
                syntax.items.iter().filter(|item| is_for_tests(item)).filter_map(defined).collect();
            let module = Module { items, for_tests, ..Module::default() };
            let mut reader = Reader { path: &path, module };
            // Names first: a path may use one that is imported further down.
            reader.visit_file(&syntax);
            reader.visit_file(&syntax);
            house.insert(path.clone(), reader.module);
        }
    }
}

/// The file that defines what a path means.
fn home(house: &BTreeMap<Vec<String>, Module>, path: &[String], depth: usize) -> Vec<String> {
    for length in (0..=path.len()).rev() {
        let Some(module) = house.get(&path[..length]) else { continue };
        let handed_on = path.get(length).filter(|name| !module.items.contains(*name));
        return match handed_on.and_then(|name| module.names.get(name)) {
            Some(whole) if depth < 8 => {
                home(house, &[whole, &path[length + 1..]].concat(), depth + 1)
            }
            _ => path[..length].to_vec(),
        };
    }
    Vec::new()
}

type Imports = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

fn imports(package: &str) -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(package).join("src");
    let mut house = BTreeMap::new();
    read(&root, &root, &mut house);
    let for_tests: Vec<Vec<String>> = house
        .iter()
        .flat_map(|(path, module)| {
            module.for_tests.iter().map(|name| [path, std::slice::from_ref(name)].concat())
        })
        .collect();
    let is_built = |path: &[String]| !for_tests.iter().any(|one| path.starts_with(one));
    house
        .iter()
        .filter(|(path, _)| is_built(path))
        .map(|(path, module)| {
            let homes = module.mentions.iter().map(|mention| home(&house, mention, 0));
            (path.clone(), homes.filter(|home| home != path && is_built(home)).collect())
        })
        .collect()
}

fn shown(path: &[String]) -> String {
    path.join("::")
}

#[test]
fn nobody_imports_who_imports_him() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let packages = fs::read_dir(crates)
        .expect("crates")
        .map(|entry| format!("crates/{}", entry.expect("an entry").file_name().to_string_lossy()));
    let mut read = 0;
    for package in packages.chain([String::new()]) {
        read += without_circles(&package);
    }
    assert!(read > 200, "{read} modules were read");
}

/// Returns how many modules the package has.
fn without_circles(package: &str) -> usize {
    let imports = imports(package);
    let mut left: BTreeSet<&Vec<String>> = imports.keys().collect();
    // Whoever imports nobody that is left goes; who stays is in a circle, or above one.
    loop {
        let free: Vec<_> = left
            .iter()
            .copied()
            .filter(|path| !imports[*path].iter().any(|import| left.contains(import)))
            .collect();
        if free.is_empty() {
            break;
        }
        left.retain(|path| !free.contains(path));
    }
    let tied: Vec<String> = left
        .iter()
        .map(|path| {
            let to = imports[*path].iter().filter(|import| left.contains(import));
            format!(
                "{} -> {}",
                shown(path),
                to.map(|path| shown(path)).collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    assert!(tied.is_empty(), "{package}: circles, and who is above:\n{}", tied.join("\n"));
    imports.len()
}

#[test]
fn arrows_point_down() {
    let floor = |room: &str| FLOORS.iter().position(|known| *known == room);
    let mut arrows = 0;
    for (path, to) in imports("") {
        // lib.rs is the map.
        let Some(from) = path.first() else { continue };
        let from = floor(from).unwrap_or_else(|| panic!("{from} has no floor"));
        for import in to.iter().filter(|import| !import.is_empty()) {
            let down = floor(&import[0]).unwrap_or_else(|| panic!("{} has no floor", import[0]));
            assert!(from <= down, "{} imports {}", shown(&path), shown(import));
            arrows += usize::from(from < down);
        }
    }
    assert!(arrows > 100, "{arrows} arrows were seen");
}
