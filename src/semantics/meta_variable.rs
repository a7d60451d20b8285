//! Fields that an API behind CGI, WSGI or Rack cannot tell from others: it gets them as variables, in whose names `-` is
//! replaced by `_` (RFC 3875 §4.1.18). `X_Forwarded_Host` becomes `HTTP_X_FORWARDED_HOST`, as `X-Forwarded-Host` does.

use http::{HeaderMap, HeaderName};

/// Removes the fields that become the variable of one of `names` and are not that field.
pub fn remove_twins<'n>(
    fields: &mut HeaderMap,
    names: impl Iterator<Item = &'n HeaderName> + Clone,
) {
    let variable = |octet: u8| if octet == b'-' { b'_' } else { octet };
    let is_twin = |field: &&HeaderName| {
        let own = || field.as_str().bytes().map(variable);
        let is_of = |name: &HeaderName| own().eq(name.as_str().bytes().map(variable));
        field.as_str().contains('_') && names.clone().any(|name| *field != name && is_of(name))
    };
    while let Some(twin) = fields.keys().find(is_twin).cloned() {
        fields.remove(twin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_become_the_same_variable_are_removed() {
        let names = ["x-forwarded-host", "x_id", "host"].map(HeaderName::from_static);
        for (field, stays) in [
            ("x-forwarded-host", true),
            ("x_forwarded_host", false),
            ("x-forwarded_host", false),
            ("x_forwarded_hos", true),
            ("x_forwarded_hosts", true),
            ("x-id", true),
            ("x_id", true),
            ("other_field", true),
            ("host", true),
        ] {
            let field = HeaderName::from_static(field);
            let mut fields = HeaderMap::new();
            fields.append(&field, http::HeaderValue::from_static("a"));
            fields.append(&field, http::HeaderValue::from_static("b"));
            remove_twins(&mut fields, names.iter());
            assert_eq!(fields.contains_key(&field), stays, "{field}");
        }
    }
}
