use http::header::HeaderMap;

use super::*;

/// A colour of the sRGB colour space, each part from 0 to 255.
type Colour = [u8; 3];

fn file(path: &str) -> &'static str {
    let found = FILES.iter().find(|file| file.path == path);
    found.expect("a file of the dashboard").content
}

fn fields(path: &str) -> HeaderMap {
    let response = answer(&Method::GET, path).expect("a file");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.headers().clone()
}

#[test]
fn each_file_forbids_what_could_run_or_leak_anything() {
    for File { path, .. } in &FILES {
        let fields = fields(path);
        let policy = fields[CONTENT_SECURITY_POLICY].to_str().expect("text");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            let mut directives = policy.split("; ");
            assert!(directives.any(|given| given == directive), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(fields[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(fields[REFERRER_POLICY], "no-referrer");
    }
}

#[test]
fn the_dashboard_is_read_and_nothing_else() {
    assert!(answer(&Method::GET, "/dashboard").is_none());
    assert!(answer(&Method::HEAD, "/").is_some_and(|answer| answer.status() == StatusCode::OK));
    let refusal = answer(&Method::POST, "/").expect("a refusal");
    assert_eq!(refusal.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refusal.headers()[ALLOW], "GET, HEAD");
}

#[test]
fn no_file_names_another_host() {
    for File { path, content, .. } in &FILES {
        // The names of XML's vocabularies are never asked for.
        let own = content.replace("http://www.w3.org/2000/svg", "");
        for part in ["http://", "https://", "src=\"//", "url(", "@import"] {
            assert!(!own.contains(part), "{path} has {part}");
        }
    }
}

#[test]
fn all_that_the_page_needs_is_served() {
    let served = |path: &str| FILES.iter().any(|file| file.path == path);
    let mut needed = 0;
    for File { path, content, .. } in &FILES {
        let quoted = content.split('"').skip(1).step_by(2);
        for name in quoted.filter(|name| name.starts_with("./") && path.ends_with(".js")) {
            needed += 1;
            assert!(served(&name.replace("./", "/dashboard/")), "{path}: {name}");
        }
    }
    let links = file("/")
        .split('"')
        .filter(|text| text.starts_with("/dashboard/"));
    for link in links {
        needed += 1;
        assert!(served(link), "{link}");
    }
    assert!(needed > 15, "{needed}");
}

/// Text of clients, such as a URL, must never be read as HTML or as a script.
#[test]
fn no_script_reads_text_as_html() {
    for File { path, content, .. } in &FILES {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "DOMParser",
            "srcdoc",
            "eval(",
            "new Function",
            "onclick=",
            "style=\"",
        ] {
            assert!(!content.contains(way), "{path} uses {way}");
        }
    }
}

#[test]
fn ids_that_scripts_look_up_are_in_the_page() {
    let page = file("/");
    for File { path, content, .. } in &FILES {
        for part in content.split("byId(\"").skip(1) {
            let id = part.split('"').next().unwrap_or_default();
            assert!(page.contains(&format!("id=\"{id}\"")), "{path}: {id}");
        }
    }
}

/// WCAG 2.2, success criteria 1.4.3 (text: 4.5) and 1.4.11 (what a chart or a control consists of: 3).
#[test]
fn colours_have_the_contrast_that_eyes_need() {
    let text = [
        ("text", "ground"),
        ("text", "surface"),
        ("text", "raised"),
        ("muted", "ground"),
        ("muted", "surface"),
        ("muted", "raised"),
        ("accent", "surface"),
        ("accent", "raised"),
        ("on-accent", "accent"),
        ("danger", "surface"),
        ("on-danger", "danger"),
        ("warning", "surface"),
    ];
    let results = [
        "hit",
        "validated",
        "stale",
        "direct",
        "pass",
        "miss",
        "error",
    ];
    let graphics = results.map(|result| (result, "surface"));
    let controls = [("control", "surface"), ("accent", "ground")];
    let rules = text.map(|pair| (pair, 4.5)).into_iter();
    let rules = rules.chain(graphics.map(|pair| (pair, 3.0)));
    for ((front, back), least) in rules.chain(controls.map(|pair| (pair, 3.0))) {
        let (front_colours, back_colours) = (colours(front), colours(back));
        for (theme, name) in ["light", "dark"].into_iter().enumerate() {
            let ratio = contrast(front_colours[theme], back_colours[theme]);
            assert!(
                ratio >= least,
                "{front} on {back}, {name}: {ratio:.2} is less than {least}"
            );
        }
    }
}

/// A colour of the light theme and of the dark one.
fn colours(name: &str) -> [Colour; 2] {
    let style = file("/dashboard/style.css");
    let start = format!("  --{name}: light-dark(");
    let (_, rest) = style.split_once(&start).expect("a colour");
    let (pair, _) = rest.split_once(')').expect("an end");
    let mut pair = pair.split(", ").map(|colour| {
        let digits = u32::from_str_radix(colour.trim_start_matches('#'), 16).expect("digits");
        let [_, red, green, blue] = digits.to_be_bytes();
        [red, green, blue]
    });
    [(); 2].map(|()| pair.next().expect("two colours"))
}

/// WCAG's contrast ratio.
fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: Colour) -> f64 {
    let linear = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        match part <= 0.04045 {
            true => part / 12.92,
            false => ((part + 0.055) / 1.055).powf(2.4),
        }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}
