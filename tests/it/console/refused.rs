//! A console that is not safe, or that nobody could use, does not start: exit 78, the key, and what
//! to do.

use std::os::unix::fs::PermissionsExt as _;

use outflow_local::free_port;

use super::{configuration, write_token};
use crate::support::{Stage, outbox};

#[tokio::test]
async fn without_a_token_it_listens_nowhere() {
    let stage = Stage::bare(&outbox("")).await;
    let port = free_port().expect("a port");
    for (listen, words) in [
        (format!("0.0.0.0:{port}"), "open to other machines"),
        (format!("[::]:{port}"), "open to other machines"),
        (format!("127.0.0.1:{port}"), "nobody could log in"),
    ] {
        let refused = stage.asked(&["console", "--listen", &listen]).await;
        assert_eq!(refused.code, Some(78), "{refused:?}");
        for word in [words, "console.tokens", "openssl rand -hex 32", "[[console.tokens]]"] {
            assert!(refused.stderr.contains(word), "no {word:?} in {refused:?}");
        }
        assert_eq!(refused.stderr.contains("console.anonymous"), listen.starts_with("127"));
    }
    stage.configure(&format!("[console]\nanonymous = \"read\"\n{}", outbox("")));
    let refused = stage.asked(&["console", "--listen", &format!("0.0.0.0:{port}")]).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("console.anonymous: is for loopback"), "{refused:?}");
    stage.configure(&format!("[console]\nlisten = \"0.0.0.0:{port}\"\n{}", outbox("")));
    let refused = stage.asked(&["run"]).await;
    assert_eq!(refused.code, Some(78), "a relay does not start with it, too: {refused:?}");
}

#[tokio::test]
async fn a_token_that_cannot_be_used_is_named_and_never_shown() {
    let stage = Stage::bare(&outbox("")).await;
    let configured = configuration(&stage, "");
    let file = stage.path().join("anna");
    let refused = async |words: &[&str]| {
        let refused = stage.asked(&["console", "--listen", "127.0.0.1:0"]).await;
        assert_eq!(refused.code, Some(78), "{refused:?}");
        for word in words {
            assert!(refused.stderr.contains(word), "no {word:?} in {refused:?}");
        }
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
    };
    stage.configure(&configured);
    write_token(&stage, "anna", "hunter2");
    refused(&["console.tokens.0.file", "fewer than 16 characters", "openssl rand"]).await;
    write_token(&stage, "anna", "");
    refused(&["console.tokens.0.file", "is empty"]).await;
    write_token(&stage, "anna", "hunter2-hunter2-hunter2");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&file, open).expect("a mode");
    refused(&["console.tokens.0.file", "chmod o-rwx"]).await;
    let other = std::fs::read_to_string(stage.path().join("ben")).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    write_token(&stage, "anna", other.trim());
    refused(&["console.tokens.1.file", "the same token as that of anna"]).await;
    std::fs::remove_file(&file).expect("a file");
    refused(&["console.tokens.0.file", "anna: No such file"]).await;
    let own = configured.replace(&file.display().to_string(), "hunter2-hunter2-hunter2");
    stage.configure(&own);
    refused(&["console.tokens.0.file", "it may be the token itself"]).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let stage = Stage::bare(&outbox("")).await;
    stage.configure(&configuration(&stage, ""));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = stage.asked(&["console", "--listen", &address]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&format!("console.listen: {address}")), "{refused:?}");
}
