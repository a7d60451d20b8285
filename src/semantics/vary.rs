//! Variants: the fields that a response's Vary nominates, and whether a request selects the same variant as another (RFC
//! 9111 §4.1).

mod nominated;
mod normalise;
mod prefer;
mod reduce;
mod weighted;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::policy::VaryPolicy;

pub use nominated::{Vary, not_nominated};
pub use prefer::{prefer, suits};
pub use reduce::{Reduced, reduce};

/// The selecting fields of the request that a response was stored for. Equal when they select the same variant.
#[derive(Clone, Debug, Default)]
pub struct VariantKey {
    any: bool,
    fields: Box<[Selecting]>,
    /// The Origin of that request where it is none of `fields`: see [`super::cors`].
    fetched_with: Option<Box<[u8]>>,
}

/// One selecting field; without a value when the request had none.
#[derive(Clone, Debug)]
struct Selecting {
    name: HeaderName,
    value: Option<Value>,
}

#[derive(Clone, Debug)]
struct Value {
    /// Its lines as the client sent them, joined.
    sent: Box<[u8]>,
    /// The compared form, where that is not `sent`; `None` inside where the route's policy removes the field.
    compared: Option<Option<Box<[u8]>>>,
}

/// What selects a variant, in parts that can be written down: see [`VariantKey::selection`].
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// No request selects it without validation.
    pub any: bool,
    /// The selecting fields, each with its lines as the client sent them, joined; `None` where the request had none.
    pub fields: Vec<(&'a HeaderName, Option<&'a [u8]>)>,
    /// See [`VariantKey::origin`].
    pub fetched_with: Option<&'a [u8]>,
}

impl VariantKey {
    /// `request` has the fields that the client sent, without those that the gateway adds.
    pub fn of(vary: &Vary, request: &HeaderMap, policy: &VaryPolicy) -> Self {
        let names = match vary {
            Vary::Fields(names) => names.as_slice(),
            Vary::None | Vary::Any => &[],
        };
        let selecting = |name: &HeaderName| Selecting {
            name: name.clone(),
            value: Value::of(name, request, policy),
        };
        Self {
            any: *vary == Vary::Any,
            fields: names.iter().map(selecting).collect(),
            fetched_with: None,
        }
    }

    /// The same key with `names` as selecting fields, too, with their values in `request`.
    pub fn also_by<'a>(
        mut self,
        names: impl Iterator<Item = &'a HeaderName>,
        request: &HeaderMap,
        policy: &VaryPolicy,
    ) -> Self {
        let mut fields = std::mem::take(&mut self.fields).into_vec();
        for name in names {
            if !fields.iter().any(|field| field.name == *name) {
                fields.push(Selecting {
                    name: name.clone(),
                    value: Value::of(name, request, policy),
                });
            }
        }
        fields.sort_unstable_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        self.fields = fields.into();
        self
    }

    /// The same key for a response that was fetched with this Origin.
    pub fn fetched_with(mut self, origin: Option<&[u8]>) -> Self {
        self.fetched_with = origin
            .filter(|_| !self.has(&header::ORIGIN))
            .map(Into::into);
        self
    }

    /// The Origin of the request that its response was fetched by, where that is none of the selecting fields.
    pub fn origin(&self) -> Option<&[u8]> {
        self.fetched_with.as_deref()
    }

    /// Its parts, of which [`restored`](Self::restored) makes the same key.
    pub fn selection(&self) -> Selection<'_> {
        let fields = self.fields.iter().map(|field| {
            let sent = field.value.as_ref().map(|value| &*value.sent);
            (&field.name, sent)
        });
        Selection {
            any: self.any,
            fields: fields.collect(),
            fetched_with: self.fetched_with.as_deref(),
        }
    }

    /// The selecting fields of the request that its response answered, and its Origin.
    pub fn request(&self) -> HeaderMap {
        let fields = self.fields.iter().filter_map(|field| {
            let sent = &field.value.as_ref()?.sent;
            Some((field.name.clone(), HeaderValue::from_bytes(sent).ok()?))
        });
        let mut request: HeaderMap = fields.collect();
        let origin = self.fetched_with.as_deref();
        if let Some(Ok(origin)) = origin.map(HeaderValue::from_bytes) {
            request.insert(header::ORIGIN, origin);
        }
        request
    }

    /// The key of these parts, whose fields are compared by `policy`.
    pub fn restored(
        any: bool,
        fields: &[(HeaderName, Option<HeaderValue>)],
        fetched_with: Option<&[u8]>,
        policy: &VaryPolicy,
    ) -> Self {
        let mut request = HeaderMap::with_capacity(fields.len());
        for (name, value) in fields {
            request.extend(value.clone().map(|value| (name.clone(), value)));
        }
        // With the octets as they were: white space at the end of several lines is a part of what is compared.
        let value = |name: &HeaderName, sent: &HeaderValue| {
            Value::of_sent(name, Cow::Borrowed(sent.as_bytes()), &request, policy)
        };
        let fields = fields.iter().map(|(name, sent)| Selecting {
            name: name.clone(),
            value: sent.as_ref().map(|sent| value(name, sent)),
        });
        Self {
            any,
            fields: fields.collect(),
            fetched_with: fetched_with.map(Into::into),
        }
    }

    /// Whether no field selects it: every request does.
    pub fn is_whole(&self) -> bool {
        !self.any && self.fields.is_empty() && self.fetched_with.is_none()
    }

    /// Whether it is of a response that no request selects without validation.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// The selecting fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> + Clone {
        self.fields.iter().map(|field| &field.name)
    }

    /// Whether the field is one of those that it was selected by.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.names().any(|own| own == name)
    }

    /// Whether `request` selects this variant.
    pub fn matches(&self, request: &HeaderMap, policy: &VaryPolicy) -> bool {
        !self.any
            && self
                .fields
                .iter()
                .all(|field| field.matches(request, policy))
    }

    /// Whether `request` selects this variant, except by fields for which `suits` accepts the variant all the same.
    pub fn nearly_matches(
        &self,
        request: &HeaderMap,
        policy: &VaryPolicy,
        suits: impl Fn(&HeaderName) -> bool,
    ) -> bool {
        let near = |field: &Selecting| field.matches(request, policy) || suits(&field.name);
        !self.any && self.fields.iter().all(near)
    }

    /// Whether two requests differ in a field that this variant was selected by, so that they are for different
    /// variants if neither is for this one.
    pub fn tells_apart(&self, a: &HeaderMap, b: &HeaderMap, policy: &VaryPolicy) -> bool {
        let same = |field: &Selecting| {
            let value = Value::of(&field.name, a, policy);
            let name = field.name.clone();
            Selecting { name, value }.matches(b, policy)
        };
        !self.fields.iter().all(same)
    }

    /// The selecting fields by which `request` does not select this variant: the name, what the request that it answered had,
    /// and what this one has.
    pub fn differing(
        &self,
        request: &HeaderMap,
        policy: &VaryPolicy,
    ) -> Vec<(&HeaderName, Option<String>, Option<String>)> {
        let shown = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let others = self
            .fields
            .iter()
            .filter(|field| !field.matches(request, policy));
        let others = others.map(|field| {
            let own = field.value.as_ref().map(|value| shown(&value.sent));
            let other = normalise::joined(&field.name, request);
            (&field.name, own, other.map(|octets| shown(&octets)))
        });
        others.collect()
    }

    /// `name: value` of each selecting field, as the request had it; without a value where it had none.
    pub fn describe(&self) -> Vec<String> {
        let field = |field: &Selecting| match &field.value {
            Some(value) => format!("{}: {}", field.name, String::from_utf8_lossy(&value.sent)),
            None => field.name.to_string(),
        };
        if self.any {
            return vec!["*".to_owned()];
        }
        self.fields.iter().map(field).collect()
    }

    /// The memory it holds beside its own size, in octets.
    pub fn weight(&self) -> usize {
        let value = |value: &Value| {
            let compared = value.compared.as_ref().and_then(Option::as_ref);
            value.sent.len() + compared.map_or(0, |octets| octets.len())
        };
        let field =
            |field: &Selecting| size_of::<Selecting>() + field.value.as_ref().map_or(0, value);
        let origin = self.fetched_with.as_ref().map_or(0, |origin| origin.len());
        self.fields.iter().map(field).sum::<usize>() + origin
    }
}

/// The form in which the field of a request is compared, by `policy`: the same for two requests that mean the same. `None`
/// where the request does not have it, or the policy removes it.
pub fn compared(name: &HeaderName, request: &HeaderMap, policy: &VaryPolicy) -> Option<Vec<u8>> {
    let value = Value::of(name, request, policy)?;
    value.compared().map(<[u8]>::to_vec)
}

impl PartialEq for VariantKey {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&Selecting, &Selecting)| a.name == b.name && a.compared() == b.compared();
        self.any == other.any
            && self.fields.len() == other.fields.len()
            && self.fields.iter().zip(&other.fields).all(same)
    }
}

impl Eq for VariantKey {}

impl Selecting {
    fn compared(&self) -> Option<&[u8]> {
        self.value.as_ref().and_then(Value::compared)
    }

    fn matches(&self, request: &HeaderMap, policy: &VaryPolicy) -> bool {
        let mut lines = request.get_all(&self.name).iter();
        match (&self.value, lines.next()) {
            (None, None) => true,
            // Most requests have the same octets: no more has to be compared then.
            (Some(stored), Some(line))
                if lines.next().is_none() && *stored.sent == *line.as_bytes() =>
            {
                true
            }
            _ => {
                let presented = Value::of(&self.name, request, policy);
                self.compared() == presented.as_ref().and_then(Value::compared)
            }
        }
    }
}

impl Value {
    fn of(name: &HeaderName, request: &HeaderMap, policy: &VaryPolicy) -> Option<Self> {
        let sent = normalise::joined(name, request)?;
        Some(Self::of_sent(name, sent, request, policy))
    }

    /// `sent` are the field's lines in `request`, joined.
    fn of_sent(
        name: &HeaderName,
        sent: Cow<'_, [u8]>,
        request: &HeaderMap,
        policy: &VaryPolicy,
    ) -> Self {
        let compared = match reduce(name, request, policy) {
            Reduced::AsIs => Some(normalise::normal_form(name, &sent)),
            Reduced::To(value) => Some(Cow::Owned(value.as_bytes().to_vec())),
            Reduced::Absent => None,
        };
        let differs = compared.as_deref() != Some(&*sent);
        Self {
            compared: differs.then(|| compared.map(|octets| octets.into_owned().into())),
            sent: sent.into_owned().into(),
        }
    }

    fn compared(&self) -> Option<&[u8]> {
        match &self.compared {
            Some(compared) => compared.as_deref(),
            None => Some(&self.sent),
        }
    }
}

#[cfg(test)]
mod tests;
