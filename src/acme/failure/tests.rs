use instant_acme::Subproblem;

use super::*;

fn acme(challenge: Challenge) -> Acme {
    Acme {
        domains: vec!["a.test".into()],
        contact: Vec::new(),
        directory: "https://ca.test/dir".to_owned(),
        directory_ca: None,
        state: "/tmp".into(),
        challenge,
        profile: None,
        binding: None,
    }
}

fn problem(token: &str, detail: &str) -> Error {
    Error::Api(Problem {
        r#type: Some(format!("urn:ietf:params:acme:error:{token}")),
        detail: Some(detail.to_owned()),
        status: None,
        subproblems: vec![Subproblem {
            identifier: None,
            r#type: None,
            detail: Some("and more".to_owned()),
        }],
    })
}

#[test]
fn each_problem_of_the_authority_s_is_told_with_its_cure() {
    use Challenge::{Http01, TlsAlpn01};
    for (token, challenge, cure) in [
        ("connection", Http01, "reach port 80"),
        ("connection", TlsAlpn01, "reach port 443"),
        ("unauthorized", Http01, "DNS records lead here"),
        ("rateLimited", TlsAlpn01, "wait: "),
        ("caa", TlsAlpn01, "CAA records"),
        ("badNonce", TlsAlpn01, "nothing: "),
        ("newlyInvented", TlsAlpn01, "see what the authority says"),
    ] {
        let failure = Failure::of(&problem(token, "no"), &acme(challenge));
        let what = format!("the authority says {token}: no: and more");
        assert_eq!(failure.what, what);
        assert!(failure.cure.contains(cure), "{token}: {}", failure.cure);
        assert_eq!(failure.is_bad_nonce(), token == "badNonce");
    }
}

#[test]
fn what_is_refused_for_its_account_is_told_from_the_rest() {
    for (error, expected) in [
        (problem("accountDoesNotExist", ""), true),
        (problem("unauthorized", ""), true),
        (problem("rejectedIdentifier", ""), false),
        (Error::Crypto, false),
    ] {
        assert_eq!(is_of_account(&error), expected, "{error}");
    }
}

#[test]
fn an_authority_that_cannot_be_reached_is_told_with_its_url_and_the_cause() {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    for (error, cure) in [
        (refused, "let this machine reach the authority"),
        (io::Error::other(unknown), "`directory_ca`"),
    ] {
        let text = error.to_string();
        let unreachable = Unreachable {
            uri: Uri::from_static("https://ca.test/dir"),
            error: error.into(),
        };
        let error = Error::Other(Box::new(unreachable));
        let failure = Failure::of(&error, &acme(Challenge::Http01));
        assert_eq!(failure.what, format!("https://ca.test/dir: {text}"));
        assert!(failure.cure.contains(cure), "{}", failure.cure);
    }
}

#[test]
fn no_authority_is_waited_for_longer_than_a_day() {
    let failure = Failure::late(Duration::from_secs(1));
    let hour = Duration::from_secs(3600);
    for (asked, waited) in [(hour, hour), (100 * hour, 24 * hour)] {
        let failure = Failure::late(Duration::from_secs(1)).or_retry_after(Some(asked));
        assert_eq!(failure.retry_after, Some(waited));
    }
    assert_eq!(failure.retry_after, None);
}
