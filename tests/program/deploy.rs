//! What `deploy/` has: each command line, path, port and configuration in it is one that the program takes.

use std::fs;
use std::path::Path;
use std::process::Command;

use bookend::config::valkey_servers::Arrangement;
use bookend::config::{Config, ListenAddr};
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The strings of a list; none where there is no list.
fn words(list: &Yaml) -> Vec<String> {
    let words = list.as_vec().into_iter().flatten();
    words
        .map(|word| word.as_str().expect("a string").to_owned())
        .collect()
}

/// Manifests of Kubernetes: gateways alone, and gateways that are a fleet.
const MANIFESTS: [&str; 2] = [
    "deploy/kubernetes/bookend.yaml",
    "deploy/kubernetes/fleet.yaml",
];

/// The object of this kind and name in a manifest.
fn manifest(path: &str, kind: &str, name: &str) -> Yaml {
    let mut of_kind = documents(path).into_iter().filter(|object| {
        object["kind"].as_str() == Some(kind) && object["metadata"]["name"].as_str() == Some(name)
    });
    let object = of_kind.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(of_kind.next().is_none(), "two of {kind}");
    object
}

#[track_caller]
fn valid(text: &str, name: &str) -> Config {
    let lookup = |name: &str| {
        Some(match name {
            "BOOKEND_UPSTREAM" => "http://api:5000".to_owned(),
            "BOOKEND_ADMIN_TOKEN" | "VALKEY_PASSWORD" => "sesame".to_owned(),
            _ => return None,
        })
    };
    Config::parse(text, name, &lookup).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn port(addr: &ListenAddr) -> i64 {
    match addr {
        ListenAddr::Tcp(addr) => addr.port().into(),
        ListenAddr::Unix(path) => panic!("{path:?} has no port"),
    }
}

/// What the gateways of the file share. The parser leaves merge keys as they are.
fn merged(compose: &Yaml, name: &str) -> Yaml {
    let shared = &compose["x-gateway"];
    assert_eq!(&compose["services"][name]["<<"], shared, "{name}");
    shared.clone()
}

/// The arguments of the Dockerfile's instruction, a list as JSON has it.
fn instruction(name: &str) -> Vec<String> {
    let dockerfile = file("deploy/Dockerfile").replace("\\\n", " ");
    let line = dockerfile
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")))
        .unwrap_or_else(|| panic!("no {name}"));
    let list = &line[line.find('[').expect("a list")..];
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All command lines of the program in `deploy/` and the documents, without the program's name, and where they are.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut lines = Vec::new();
    let mut add = |place: &str, words: &[String]| lines.push((place.to_owned(), words.to_vec()));
    let health = instruction("HEALTHCHECK");
    assert_eq!(health[0], instruction("ENTRYPOINT")[0]);
    add("deploy/Dockerfile", &health[1..]);
    add("deploy/Dockerfile", &instruction("CMD"));
    let compose = &documents("deploy/compose.yaml")[0];
    let command = words(&compose["services"]["gateway"]["command"]);
    add("deploy/compose.yaml", &command);
    let compose = &documents("deploy/compose.fleet.yaml")[0];
    for name in ["gateway-1", "gateway-2"] {
        let gateway = merged(compose, name);
        add("deploy/compose.fleet.yaml", &words(&gateway["command"]));
        let health = words(&gateway["healthcheck"]["test"]);
        add("deploy/compose.fleet.yaml", &health[2..]);
    }
    for path in MANIFESTS {
        let pod = &manifest(path, "Deployment", "bookend")["spec"]["template"]["spec"];
        add(path, &words(&pod["containers"][0]["args"]));
    }
    for line in file("deploy/bookend.service").lines() {
        if let Some((_, command)) = line.split_once("=/usr/bin/bookend ") {
            let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
            add("deploy/bookend.service", &words);
        }
    }
    for path in [
        "README.md",
        "docs/operations.md",
        "docs/configuration.md",
        "deploy/kubernetes/bookend.yaml",
        "deploy/docker/config.toml",
        "deploy/build-dist",
    ] {
        for line in file(path).lines() {
            let line = line
                .replace("`", " ` ")
                .replace("/usr/bin/bookend", "bookend");
            let line = line.replace("\"$dist/bookend\"", "bookend");
            let is_prompt = line.starts_with("$ bookend ") || path.starts_with("deploy");
            let Some((_, command)) = line.split_once("bookend ").filter(|_| is_prompt) else {
                continue;
            };
            let ends = |word: &&str| !["&&", "&", "|", "`", ";", ">"].contains(word);
            let words: Vec<_> = command
                .split_whitespace()
                .take_while(ends)
                .filter(|word| !word.starts_with('>'))
                .map(str::to_owned)
                .collect();
            if path.starts_with("deploy") && !is_command(&words) {
                continue;
            }
            add(path, &words);
        }
    }
    lines
}

/// Whether the first word is a subcommand: in comments, the program's name is followed by other words, too.
fn is_command(words: &[String]) -> bool {
    let command = bookend::cli::command();
    let mut names = command.get_subcommands().map(clap::Command::get_name);
    words
        .first()
        .is_some_and(|word| names.any(|name| name == word))
}

#[test]
fn every_command_line_that_is_shown_is_one_that_the_program_takes() {
    let lines = command_lines();
    assert!(lines.len() >= 14, "{lines:#?}");
    for (place, words) in lines {
        let line = ["bookend".to_owned()].into_iter().chain(words.clone());
        if let Err(error) = bookend::cli::command().try_get_matches_from(line) {
            panic!("{place}: {words:?}: {error}");
        }
    }
}

#[test]
fn the_image_has_what_it_names() {
    let dockerfile = file("deploy/Dockerfile");
    // What is copied from here exists, and what the commands name was copied there.
    let mut copied = Vec::new();
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let (from, to) = (words[words.len() - 2], words[words.len() - 1]);
        assert!(from == "/bookend" || root().join(from).exists(), "{line}");
        copied.push(to.to_owned());
    }
    for instruction in [
        instruction("HEALTHCHECK"),
        instruction("ENTRYPOINT"),
        instruction("CMD"),
    ] {
        for path in instruction.iter().filter(|word| word.starts_with('/')) {
            assert!(copied.contains(path), "{path} is not among {copied:?}");
        }
    }
    let version = concat!("FROM rust:", env!("CARGO_PKG_RUST_VERSION"), "-");
    assert!(dockerfile.contains(version), "{version}");
    assert!(dockerfile.contains(":nonroot\n"));

    let config = valid(
        &file("deploy/docker/config.toml"),
        "deploy/docker/config.toml",
    );
    let [ListenAddr::Tcp(listen)] = &config.server.listen[..] else {
        panic!("{:?}", config.server.listen);
    };
    assert!(listen.ip().is_unspecified(), "{listen}");
    assert!(dockerfile.contains(&format!("\nEXPOSE {}\n", listen.port())));
    // Docker kills after ten seconds.
    assert!(config.server.drain_timeout.as_secs() < 10);
}

#[test]
fn the_compose_file_starts_the_flask_api_of_the_examples() {
    let compose = &documents("deploy/compose.yaml")[0]["services"];
    let (api, gateway) = (&compose["api"]["build"], &compose["gateway"]);
    let context = root()
        .join("deploy")
        .join(api["context"].as_str().expect("a context"));
    assert!(context.join("app.py").exists());
    let dockerfile = api["dockerfile_inline"].as_str().expect("its Dockerfile");
    let pinned = file("examples/requirements.txt");
    let flask = pinned.lines().find(|line| line.starts_with("Flask=="));
    assert!(
        dockerfile.contains(flask.expect("a version")),
        "{dockerfile}"
    );
    assert!(dockerfile.contains("\"--port\", \"5000\""));
    let image = gateway["build"]["dockerfile"]
        .as_str()
        .expect("a Dockerfile");
    assert!(root().join(image).exists());
    for volume in words(&gateway["volumes"]) {
        let (here, there) = volume.split_once(':').expect("two paths");
        assert!(root().join("deploy").join(here).exists(), "{volume}");
        let there = there.trim_end_matches(":ro");
        assert!(words(&gateway["command"]).iter().any(|word| word == there));
    }
}

#[test]
fn the_gateways_of_the_fleet_s_compose_file_have_the_server_that_it_starts() {
    let compose = &documents("deploy/compose.fleet.yaml")[0];
    let text = file("deploy/docker/fleet.toml");
    let config = valid(&text, "deploy/docker/fleet.toml");
    let valkey = config.valkey.as_ref().expect("a fleet");
    let Arrangement::Single(address) = &valkey.servers.arrangement else {
        panic!("{valkey:?}");
    };
    assert_eq!(format!("{address}"), "valkey:6379");
    assert!(compose["services"]["valkey"]["image"].as_str().is_some());
    // The same API, and for its routes the same as for one gateway.
    let single = &documents("deploy/compose.yaml")[0]["services"];
    assert_eq!(compose["services"]["api"], single["api"]);
    let routes = |text: &str| {
        let file: toml::Table = text.parse().expect("TOML");
        file["route"].clone()
    };
    assert_eq!(routes(&text), routes(&file("examples/flask.toml")));
    let mut ports = Vec::new();
    for name in ["gateway-1", "gateway-2"] {
        let gateway = merged(compose, name);
        let volume = &words(&gateway["volumes"])[0];
        let (here, there) = volume.split_once(':').expect("two paths");
        assert!(root().join("deploy").join(here).exists(), "{volume}");
        let there = there.trim_end_matches(":ro");
        assert_eq!(
            words(&gateway["command"]).last().map(String::as_str),
            Some(there)
        );
        let port = words(&compose["services"][name]["ports"]).remove(0);
        assert!(
            port.ends_with(&format!(":{}", self::port(&config.server.listen[0]))),
            "{port}"
        );
        ports.push(port);
    }
    assert_ne!(ports[0], ports[1]);
}

#[test]
fn the_fleet_of_kubernetes_has_a_server_and_what_reaches_it() {
    let path = "deploy/kubernetes/fleet.yaml";
    let map = manifest(path, "ConfigMap", "bookend");
    let text = map["data"]["config.toml"].as_str().expect("a file");
    let valkey = valid(text, "config.toml").valkey.expect("a fleet");
    let Arrangement::Single(address) = &valkey.servers.arrangement else {
        panic!("{valkey:?}");
    };
    let service = manifest(path, "Service", "valkey");
    let port = service["spec"]["ports"][0]["port"]
        .as_i64()
        .expect("a port");
    assert_eq!(format!("{address}"), format!("valkey:{port}"));
    let server = manifest(path, "Deployment", "valkey");
    let labels = &server["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(&server["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(server["spec"]["replicas"].as_i64(), Some(1));
    // Each variable that the file names is set, by the same secret on both sides.
    let variables = |pod: &Yaml| -> Vec<(String, Yaml)> {
        let variables = pod["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        let all = variables.into_vec().expect("a list").into_iter();
        all.map(|one| {
            let name = one["name"].as_str().expect("a name").to_owned();
            (name, one["valueFrom"]["secretKeyRef"].clone())
        })
        .collect()
    };
    let (ours, its) = (
        variables(&manifest(path, "Deployment", "bookend")),
        variables(&server),
    );
    assert_eq!(its.len(), 1);
    assert!(ours.contains(&its[0]), "{ours:?}");
    for (name, _) in ours {
        assert!(text.contains(&format!("${{{name}}}")), "{name}");
    }
    assert_eq!(
        manifest(path, "Deployment", "bookend")["spec"]["replicas"].as_i64(),
        Some(3)
    );
}

#[test]
fn the_manifests_of_kubernetes_agree_with_their_configuration_and_each_other() {
    for path in MANIFESTS {
        agrees(path);
    }
}

fn agrees(path: &str) {
    let manifest = |kind: &str| manifest(path, kind, "bookend");
    let map = manifest("ConfigMap");
    let config = valid(
        map["data"]["config.toml"].as_str().expect("a file"),
        "config.toml",
    );
    let admin = config.admin.as_ref().expect("an admin API");
    let deployment = manifest("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let named = |name: &str| {
        let mut ports = container["ports"].as_vec().into_iter().flatten();
        let found = ports.find(|port| port["name"].as_str() == Some(name));
        found.and_then(|port| port["containerPort"].as_i64())
    };
    assert_eq!(named("http"), Some(port(&config.server.listen[0])));
    assert_eq!(named("admin"), Some(port(&admin.listen)));
    for (probe, path) in [
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["path"].as_str(), Some(path), "{probe}");
        assert_eq!(get["port"].as_str(), Some("admin"), "{probe}");
    }
    let grace = pod["terminationGracePeriodSeconds"]
        .as_i64()
        .expect("a time");
    let pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64();
    let drain = i64::try_from(config.server.drain_timeout.as_secs()).expect("a time");
    let delay = i64::try_from(config.server.shutdown_delay.as_secs()).expect("a time");
    assert!(grace > pre_stop.expect("a time") + delay + drain);
    let limit = container["resources"]["limits"]["memory"].as_str();
    assert_eq!(limit, Some("640Mi"));
    assert!(config.cache.memory + config.cache.windows + (64 << 20) < 640 << 20);
    let arguments = words(&container["args"]);
    let mount = container["volumeMounts"][0]["mountPath"].as_str();
    let file = arguments.last().expect("a file");
    assert_eq!(Path::new(file).parent(), mount.map(Path::new));

    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &manifest("Service")["spec"]["selector"],
    ] {
        assert_eq!(selector, labels);
    }
    let service = &manifest("Service")["spec"]["ports"][0];
    assert_eq!(service["targetPort"].as_str(), Some("http"));
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_well_confined() {
    let unit = file("deploy/bookend.service");
    // Both tools look for the program.
    let unit = unit.replace("/usr/bin/bookend", env!("CARGO_BIN_EXE_bookend"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bookend.service");
    fs::write(&path, unit).expect("written");
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).arg(&path).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        Some((
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        ))
    };
    // Beside it: a socket is for the service of its own name.
    let socket = folder.path().join("bookend.socket");
    fs::write(&socket, file("deploy/bookend.socket")).expect("written");
    let socket = socket.to_str().expect("text");
    let Some((is_valid, said)) = analyze(&["verify", "--man=no", socket]) else {
        eprintln!("systemd-analyze is absent: the unit was not checked");
        return;
    };
    let has_faults = ["bookend.service:", "bookend.socket:"].map(|unit| said.contains(unit));
    assert!(is_valid && has_faults == [false; 2], "{said}");
    // In tenths, of ten: what it needs for its work is the network and low ports.
    let (is_confined, said) =
        analyze(&["security", "--offline=yes", "--threshold=20"]).expect("it ran");
    assert!(is_confined, "{said}");
}

#[test]
fn the_debian_package_is_made_of_files_that_exist() {
    let manifest: toml::Table = file("Cargo.toml").parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let script = file("deploy/build-dist");
    let mut installed = Vec::new();
    for asset in deb["assets"].as_array().expect("assets") {
        let [from, to, _] = &asset.as_array().expect("an asset")[..] else {
            panic!("{asset}");
        };
        let (from, to) = (from.as_str().expect("a path"), to.as_str().expect("a path"));
        match from.strip_prefix("target/dist/") {
            Some(made) => {
                let made = made.trim_end_matches("/*.1");
                assert!(script.contains(&format!("$dist/{made}\"")), "{from}");
            }
            None => {
                let folder = from.trim_end_matches("*.md");
                assert!(root().join(folder).exists(), "{from}");
            }
        }
        installed.push(format!("/{to}"));
    }
    for path in deb["conf-files"].as_array().expect("files") {
        assert!(
            installed
                .iter()
                .any(|to| Some(to.as_str()) == path.as_str())
        );
    }
    let units = deb["systemd-units"]["unit-scripts"]
        .as_str()
        .expect("a folder");
    for unit in ["bookend.service", "bookend.socket"] {
        assert!(root().join(units).join(unit).exists());
    }
    let unit = file("deploy/bookend.service");
    assert!(unit.contains("=/usr/bin/bookend run --config /etc/bookend/config.toml\n"));
    assert!(installed.contains(&"/usr/bin/bookend".to_owned()));
}

/// They are not among the default features, so that the demo is built sooner.
#[test]
fn what_is_deployed_has_the_live_picture_the_shared_tier_and_traces_and_is_tested_with_them() {
    for (path, command) in [
        (
            "deploy/Dockerfile",
            "cargo build --locked --profile production --features top,valkey,otlp ",
        ),
        (
            "deploy/build-dist",
            "build --locked --profile production --features top,valkey,otlp ",
        ),
        (
            "benches/pgo",
            "\"--profile\", \"production\", \"--features\", \"top,valkey,otlp\"",
        ),
        (".ci/run", "features=(--features top,valkey,otlp)\n"),
    ] {
        assert!(file(path).contains(command), "{path}");
    }
}

/// cargo-deny itself is not asked here: what it reads is, as far as TOML goes.
#[test]
fn the_rules_for_dependencies_are_toml_that_allows_this_program_s_own_licences() {
    let rules: toml::Table = file("deny.toml").parse().expect("TOML");
    let allowed = rules["licenses"]["allow"].as_array().expect("a list");
    for own in env!("CARGO_PKG_LICENSE").split(" OR ") {
        assert!(allowed.iter().any(|licence| licence.as_str() == Some(own)));
    }
}
