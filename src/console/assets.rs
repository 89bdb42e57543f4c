//! Styles and scripts, embedded: no request goes to any other host. Each address has a hash of the
//! content, so that browsers may keep it for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};

use outflow_core::escape::hex;

/// Where they are.
pub(super) const ROUTE: &str = "/assets/{name}";
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file.
pub(super) struct Asset {
    /// Its address.
    pub(super) href: String,
    mime: &'static str,
    text: &'static str,
}

/// All of them.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) plot_style: Asset,
    pub(super) htmx: Asset,
    pub(super) morph: Asset,
    pub(super) plot: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
}

/// What the pages refer to.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("console.css", CSS, include_str!("assets/console.css")),
    plot_style: Asset::new("uplot.css", CSS, include_str!("assets/uplot/uPlot.min.css")),
    htmx: Asset::new("htmx.js", JAVASCRIPT, include_str!("assets/htmx/htmx.min.js")),
    morph: Asset::new(
        "idiomorph.js",
        JAVASCRIPT,
        include_str!("assets/idiomorph/idiomorph-ext.min.js"),
    ),
    plot: Asset::new("uplot.js", JAVASCRIPT, include_str!("assets/uplot/uPlot.iife.min.js")),
    script: Asset::new("console.js", JAVASCRIPT, include_str!("assets/console.js")),
    icon: Asset::new("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
});

impl Asset {
    fn new(name: &str, mime: &'static str, text: &'static str) -> Self {
        let hash = hex(&digest(&SHA256, text.as_bytes()).as_ref()[..8]);
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        Self { href: format!("/assets/{stem}-{hash}.{ending}"), mime, text }
    }
}

impl Assets {
    fn find(&self, name: &str) -> Option<&Asset> {
        let Self { style, plot_style, htmx, morph, plot, script, icon } = self;
        let all = [style, plot_style, htmx, morph, plot, script, icon];
        all.into_iter().find(|asset| asset.href.strip_prefix("/assets/") == Some(name))
    }
}

/// Serves one.
pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.find(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [(header::CONTENT_TYPE, asset.mime), (header::CACHE_CONTROL, FOR_GOOD)];
    (headers, asset.text).into_response()
}
