use super::*;
use crate::config::Config;

/// What a file with one listener, whose `[listener.tls.acme]` has these lines, means.
fn read(acme: &str) -> Result<Acme, String> {
    read_file(&format!(
        "[server]\nlisten = ':80'\n[[listener]]\nlisten = ':443'\n[listener.tls.acme]\n{acme}"
    ))
}

fn read_file(text: &str) -> Result<Acme, String> {
    let text = format!("{text}\n[upstream]\nservers = 'http://127.0.0.1:1'\n");
    let config = Config::parse(&text, "test", &|_| None).map_err(|mistakes| {
        let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        texts.join("\n")
    })?;
    let tls = config
        .server
        .listeners
        .into_iter()
        .find_map(|listener| listener.tls);
    let acme = tls.and_then(|tls| tls.acme).ok_or("no ACME")?;
    Ok(acme.as_ref().clone())
}

#[test]
fn names_and_consent_are_enough() {
    let acme = read("domains = 'Books.Example.org'\nagree_terms = true").expect("valid");
    assert_eq!(*acme.domains, [Box::<str>::from("books.example.org")]);
    assert_eq!(acme.directory, DIRECTORY);
    assert_eq!(acme.challenge, Challenge::TlsAlpn01);
    let file = acme.certificate("books.example.org").cert;
    assert_eq!(
        file.to_str(),
        Some("/var/lib/bookend/acme/acme-v02.api.letsencrypt.org-242a50f1/books.example.org.pem")
    );
    // Another authority has another folder.
    let staging = Acme {
        directory: "https://acme-v02.api.letsencrypt.org/staging".to_owned(),
        ..acme.clone()
    };
    assert_ne!(staging.folder(), acme.folder());
}

#[test]
fn mistakes_are_told_with_their_cure() {
    let domain = |name: &str| format!("domains = ['{name}']\nagree_terms = true");
    let more = |line: &str| format!("domains = 'a.test'\nagree_terms = true\n{line}");
    #[rustfmt::skip]
    let table = [
        ("agree_terms = true".to_owned(), "test:5:1: ACME needs `domains`, the names that certificates are for"),
        ("domains = []\nagree_terms = true".to_owned(), "`domains` must be a list with a member"),
        ("domains = 'a.test'".to_owned(), "test:5:1: ACME needs `agree_terms = true`"),
        ("domains = 'a.test'\nagree_terms = false".to_owned(), "test:7:15: ACME needs `agree_terms = true`"),
        (domain("*.a.test"), "\"*.a.test\" is a wildcard"),
        (domain("192.0.2.1"), "is an address"),
        (domain("bücher.test"), "in its ASCII form, which begins with xn--"),
        (domain("a..test"), "is not a host name"),
        (domain("-a.test"), "is not a host name"),
        (domain("a_b.test"), "is not a host name"),
        (domain("https://a.test"), "is not a host name"),
        (domain(&format!("{}.test", "a".repeat(64))), "is not a host name"),
        ("domains = ['a.test', 'A.test']\nagree_terms = true".to_owned(), "\"A.test\" is listed twice"),
        (more("contact = 'ops@a.test'"), "is not a contact, such as \"mailto:ops@example.org\""),
        (more("directory = 'http://ca.test/'"), "is not an https URL"),
        (more("directory = 'ca.test'"), "is not an https URL"),
        (more("directory_ca = '/nonexistent'"), "/nonexistent"),
        (more("challenge = 'dns-01'"), "is not one of \"http-01\", \"tls-alpn-01\""),
        (more("eab_key_id = 'x'"), "`eab_key_id` and `eab_hmac_key` belong together"),
        (more("eab_hmac_key = 'c2VzYW1l'"), "`eab_key_id` and `eab_hmac_key` belong together"),
        (more("eab_key_id = 'x'\neab_hmac_key = '?'"), "`eab_hmac_key` is not a key in base64url"),
        (more("email = 'x'"), "unknown key `email`"),
    ];
    for (text, expected) in table {
        let said = read(&text).expect_err(&text);
        assert!(said.contains(expected), "{text}\n{said}");
    }
}

#[test]
fn http_01_needs_an_address_without_tls() {
    let acme = "tls.acme = { domains = 'a.test', agree_terms = true, challenge = 'http-01' }";
    let said = read_file(&format!("[[listener]]\nlisten = ':443'\n{acme}"));
    let said = said.expect_err("a mistake");
    assert!(
        said.contains(
            "`challenge`: the authority connects to port 80, and no listener is without TLS"
        ),
        "{said}"
    );
    for more in [
        "[[listener]]\nlisten = ':80'\nredirect = 443",
        "[server]\nlisten = ':80'",
    ] {
        let text = format!("{more}\n[[listener]]\nlisten = ':443'\n{acme}");
        assert!(read_file(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_name_has_one_authority() {
    let listener = |port: u16, more: &str| {
        format!(
            "[[listener]]\nlisten = ':{port}'\ntls.acme = {{ domains = 'a.test', agree_terms = true{more} }}\n"
        )
    };
    let same = listener(443, "") + &listener(8443, "");
    assert!(read_file(&same).is_ok());
    let other = listener(443, "") + &listener(8443, ", state = '/tmp/other'");
    let said = read_file(&other).expect_err("a mistake");
    assert!(
        said.contains("a.test has another authority, account or state in another [[listener]]"),
        "{said}"
    );
}
