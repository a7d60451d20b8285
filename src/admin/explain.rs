//! The parameters of `/explain`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::purge::from_query;
use crate::proxy::Question;
use crate::semantics::selector::Selector;

const USAGE: &str = "name a URL: GET /explain?url=/books/123 or ?url=http://host/books/123, and if you like &method=POST and \
     &header=Accept:%20text/html, as often as the request has fields; within a URL, ? is %3F and & is %26";

/// What is asked about a request.
///
/// # Errors
/// A sentence that says which parameter is wrong, and how.
pub(super) fn explained(request: &Request<Bytes>) -> Result<Question, String> {
    let named = from_query(request, &["url", "method", "header"], USAGE)?;
    let (mut url, mut method) = (None, None);
    let mut fields = HeaderMap::new();
    for (what, value) in named {
        let known = match what.as_str() {
            "url" => url.replace(value),
            "method" => method.replace(value),
            _ => {
                let fault =
                    || format!("header={value} is not a field: write it as `Accept: text/html`");
                let (name, value) = value.split_once(':').ok_or_else(fault)?;
                let name = HeaderName::try_from(name.trim()).map_err(|_| fault())?;
                let value = value.trim_matches([' ', '\t']);
                fields.append(name, HeaderValue::try_from(value).map_err(|_| fault())?);
                None
            }
        };
        if known.is_some() {
            return Err(format!("`{what}` is given more than once; {USAGE}"));
        }
    }
    let url = url.ok_or(USAGE)?;
    let selector = Selector::url(&url).map_err(|fault| format!("url={url} {fault}"))?;
    let method = match &method {
        None => Method::GET,
        Some(name) => Method::from_bytes(name.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| format!("method={name} is not a method that is forwarded"))?,
    };
    Ok(Question {
        url,
        selector,
        method,
        fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Question, String> {
        let request = Request::builder().uri(format!("/explain?{query}"));
        explained(&request.body(Bytes::new()).expect("a request"))
    }

    #[test]
    fn a_request_is_asked_about_with_its_method_and_its_fields() {
        let read_well = |query| read(query).unwrap_or_else(|fault| panic!("{query}: {fault}"));
        let plain = read_well("url=/books/1");
        assert_eq!((plain.method, plain.fields.len()), (Method::GET, 0));
        let full = read_well(
            "method=PUT&url=http://a/b%3Fc=d%26e&header=Accept:%20text/html&header=accept:+a:b&header=X:",
        );
        assert_eq!(full.url, "http://a/b?c=d&e");
        assert_eq!(full.method, Method::PUT);
        let accept = full.fields.get_all("accept").iter().collect::<Vec<_>>();
        assert_eq!(accept, ["text/html", "a:b"]);
        assert_eq!(full.fields["x"], "");
        for (query, words) in [
            ("", "name a URL"),
            ("method=GET", "name a URL"),
            ("url=/a&url=/b", "`url` is given more than once"),
            ("url=/a&method=A%20B", "is not a method"),
            ("url=/a&method=CONNECT", "is not a method"),
            ("url=/a&header=Accept", "is not a field"),
            ("url=/a&header=A%20B:c", "is not a field"),
            (
                "url=/a&header=A:%0d%0aB:c",
                "`header` has a control character",
            ),
            ("url=/a&fields=b", "unknown parameter `fields`"),
            ("url=books", "is no URL"),
        ] {
            let fault = read(query).expect_err(query);
            assert!(fault.contains(words), "{query}: {fault}");
        }
    }
}
