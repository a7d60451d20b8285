//! The samples of a page of metrics in Prometheus' text format.

/// The samples of one page.
#[derive(Debug)]
pub struct Samples(Vec<Sample>);

/// One line.
#[derive(Debug, PartialEq)]
pub struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    pub value: u64,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        let found = labels.find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Samples {
    /// Reads a page; lines that are no samples of whole numbers are left out.
    pub fn read(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(sample).collect())
    }

    /// The samples of one metric, in the page's order.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum of a metric's samples; `None` where the page has none.
    pub fn sum(&self, name: &str) -> Option<u64> {
        let values = self.of(name).map(|sample| sample.value);
        values.reduce(u64::saturating_add)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        None => (series, Vec::new()),
        Some((name, labels)) => (name, read_labels(labels)?),
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

/// `a="b",c="d"}` as pairs.
fn read_labels(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches(',');
        if text.starts_with('}') {
            return Some(labels);
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let page = "# HELP a b\n# TYPE a gauge\na 1\na{b=\"c d\",e=\"\\\"}\\\\\\n\"} 2\nx 1.5\n\nx{y=\" 3\n";
        let samples = Samples::read(page);
        assert_eq!(samples.sum("a"), Some(3));
        assert_eq!(samples.sum("x"), None);
        let second = samples.of("a").nth(1).expect("a sample");
        assert_eq!(second.label("b"), Some("c d"));
        assert_eq!(second.label("e"), Some("\"}\\\n"));
        assert_eq!(second.label("f"), None);
    }
}
