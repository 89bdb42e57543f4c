//! Addresses of pages: what others wrote is encoded, and what is empty is left out.

use url::form_urlencoded::Serializer;

/// `path` with these parameters.
pub(super) fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn what_others_wrote_is_one_value_of_one_parameter() {
        assert_eq!(link("/streams", &[("part", ""), ("sort", "")]), "/streams");
        let evil = "a&b=c\"><script>\n%00#/../\u{202e}\u{e4}";
        let address = link("/streams/show", &[("name", evil), ("after", "1-0")]);
        let (_, query) = address.split_once('?').expect("a query");
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        assert_eq!(pairs, [("name".into(), evil.into()), ("after".into(), "1-0".into())]);
        assert!(!address.contains(['<', '"', '\n', '#']), "{address}");
    }
}
