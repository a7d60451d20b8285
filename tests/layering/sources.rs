//! What the sources say of themselves: which file uses which, how long each is, how often a function is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{rust_files, without_comments_and_strings};

/// A module's path from the crate's root, which itself is empty.
type Module = Vec<String>;

/// The sources below a folder, without tests.
pub struct Sources {
    files: BTreeMap<Module, Source>,
}

struct Source {
    path: PathBuf,
    lines: usize,
    /// Without comments, strings, tests and `use` declarations.
    code: String,
    /// What its `use` declarations bring into scope: the name, the path, and whether others can use it through this file.
    imports: Vec<Import>,
    /// Modules that it declares.
    children: Vec<String>,
}

struct Import {
    name: String,
    path: Vec<String>,
    is_public: bool,
}

impl Sources {
    pub fn below(src: &Path) -> Self {
        let files = rust_files(src).into_iter().filter_map(|file| {
            let path = file.strip_prefix(src).expect("a file below src").to_owned();
            let module = module_of(&path)?;
            let text = fs::read_to_string(&file).expect("a readable source");
            Some((module, Source::of(path, &text)))
        });
        Self {
            files: files.collect(),
        }
    }

    /// Sources that are given as `(file, text)`.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| {
            let path = PathBuf::from(path);
            let module = module_of(&path).expect("no test");
            (module, Source::of(path, text))
        });
        Self {
            files: files.collect(),
        }
    }

    /// Groups of files that use each other in a circle, directly or through others.
    pub fn cycles(&self) -> Vec<Vec<String>> {
        let uses: BTreeMap<_, _> = (self.files.keys())
            .map(|module| (module, self.used_by(module)))
            .collect();
        let reached: BTreeMap<_, _> = (uses.keys())
            .map(|module| (*module, reached_from(module, &uses)))
            .collect();
        let mut found = BTreeSet::new();
        for (module, reached_by_it) in &reached {
            let circle = (reached_by_it.iter())
                .filter(|other| reached[*other].contains(*module))
                .map(|module| self.files[*module].path.display().to_string());
            let circle: Vec<_> = circle.collect();
            if !circle.is_empty() {
                found.insert(circle);
            }
        }
        found.into_iter().collect()
    }

    /// Files with more lines than that, tests in the same file counted.
    pub fn longer_than(&self, lines: usize) -> Vec<(String, usize)> {
        (self.files.values())
            .filter(|source| source.lines > lines)
            .map(|source| (source.path.display().to_string(), source.lines))
            .collect()
    }

    /// Private functions by name, with the number of places that name them. Methods of traits are not counted.
    pub fn private_functions(&self) -> Vec<(String, String, usize)> {
        let mut found = Vec::new();
        for (module, source) in &self.files {
            for name in private_functions(&source.code) {
                let seen_by = (self.files.iter()).filter(|(other, _)| other.starts_with(module));
                let uses = seen_by.map(|(_, source)| mentions(&source.code, &name));
                found.push((source.path.display().to_string(), name.clone(), uses.sum()));
            }
        }
        found
    }

    fn used_by(&self, module: &Module) -> BTreeSet<Module> {
        let source = &self.files[module];
        let mut used = BTreeSet::new();
        for import in &source.imports {
            let path = absolute(module, &source.children, &import.path);
            if self.files.contains_key(&path) {
                // The module itself is in scope: what is used of it follows its name.
                let name = format!("{}::", import.name);
                let paths = paths_after(&source.code, &name);
                used.extend(paths.map(|rest| self.home([path.clone(), rest].concat())));
            } else if !import.is_public || mentions(&source.code, &import.name) > 0 {
                used.insert(self.home(path));
            }
        }
        let mut roots = vec!["crate".to_owned(), "self".to_owned(), "super".to_owned()];
        roots.extend(source.children.iter().cloned());
        for root in roots {
            for rest in paths_after(&source.code, &format!("{root}::")) {
                let path = [vec![root.clone()], rest].concat();
                used.insert(self.home(absolute(module, &source.children, &path)));
            }
        }
        used.remove(module);
        used
    }

    /// The file in which the item at `path` is written: a file that only passes a name on is not its home.
    fn home(&self, path: Vec<String>) -> Module {
        let mut known = path.len();
        while !self.files.contains_key(&path[..known]) {
            known -= 1;
        }
        let (module, rest) = path.split_at(known);
        let source = &self.files[module];
        let passed_on = rest.first().and_then(|name| {
            let mut imports = source.imports.iter();
            imports.find(|import| import.is_public && import.name == *name)
        });
        match passed_on {
            Some(import) => {
                let target = absolute(&module.to_vec(), &source.children, &import.path);
                match target == path {
                    true => module.to_vec(),
                    false => self.home([target, rest[1..].to_vec()].concat()),
                }
            }
            None => module.to_vec(),
        }
    }
}

impl Source {
    fn of(path: PathBuf, text: &str) -> Self {
        let code = without_tests(&without_comments_and_strings(text));
        let (mut rest, mut imports, mut children) = (code, Vec::new(), Vec::new());
        let mut code = String::new();
        while let Some(at) = next_word(&rest, "use") {
            let end = rest[at..].find(';').map_or(rest.len(), |end| at + end + 1);
            let before = rest[..at].trim_end();
            let is_public =
                before.ends_with("pub") || before.ends_with(')') && before.contains("pub");
            for leaf in leaves(&rest[at + 4..end - 1]) {
                imports.push(Import { is_public, ..leaf });
            }
            code.push_str(&rest[..at]);
            rest = rest[end..].to_owned();
        }
        code.push_str(&rest);
        for (at, _) in code.match_indices("mod ") {
            let name: String = code[at + 4..].chars().take_while(|c| is_word(*c)).collect();
            if code[at + 4 + name.len()..].starts_with(';') {
                children.push(name);
            }
        }
        Self {
            path,
            lines: text.lines().count(),
            code,
            imports,
            children,
        }
    }
}

/// `None` for tests, and for what no other file can use.
fn module_of(path: &Path) -> Option<Module> {
    let parts = path.with_extension("");
    let mut parts: Vec<_> = (parts.iter())
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts.iter().any(|part| part.ends_with("tests")) || parts == ["main"] {
        return None;
    }
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    Some(parts)
}

fn reached_from<'a>(
    module: &Module,
    uses: &'a BTreeMap<&Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = uses[module].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(&uses[module]);
        }
    }
    reached
}

/// A path as it is written in a module, from the crate's root.
fn absolute(module: &Module, children: &[String], path: &[String]) -> Vec<String> {
    let mut base = module.clone();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => base.clear(),
        Some("self") => {}
        Some("super") => {
            base.pop();
        }
        Some(name) if children.iter().any(|child| child == name) => base.push(name.to_owned()),
        // Another crate's.
        _ => return module.clone(),
    }
    rest = &rest[1..];
    while let Some(("super", more)) = rest
        .split_first()
        .map(|(first, more)| (first.as_str(), more))
    {
        base.pop();
        rest = more;
    }
    base.extend(rest.iter().cloned());
    base
}

/// What a `use` declaration brings into scope.
fn leaves(tree: &str) -> Vec<Import> {
    fn walk(prefix: &[String], tree: &str, found: &mut Vec<Import>) {
        let tree = tree.trim();
        if let Some(group) = tree
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            let (mut depth, mut from) = (0, 0);
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        walk(prefix, &group[from..at], found);
                        from = at + 1;
                    }
                    _ => {}
                }
            }
            return walk(prefix, &group[from..], found);
        }
        if let Some((first, rest)) = tree.split_once("::") {
            let prefix = [prefix, &[first.trim().to_owned()]].concat();
            return walk(&prefix, rest, found);
        }
        let (last, name) = tree.split_once(" as ").unwrap_or((tree, tree));
        let mut path = prefix.to_vec();
        match last.trim() {
            "" => return,
            "self" if !path.is_empty() => {}
            last => path.push(last.to_owned()),
        }
        let name = match name.trim() {
            "self" => path.last().cloned().unwrap_or_default(),
            name => name.to_owned(),
        };
        found.push(Import {
            name,
            path,
            is_public: false,
        });
    }
    let mut found = Vec::new();
    walk(&[], tree, &mut found);
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` next stands by itself.
fn next_word(code: &str, word: &str) -> Option<usize> {
    words(code, word).next()
}

fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let after = code[at + word.len()..].chars().next();
            !code[..*at].chars().next_back().is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

/// The segments behind each `root` that begins a path.
fn paths_after<'a>(code: &'a str, root: &'a str) -> impl Iterator<Item = Vec<String>> + 'a {
    code.match_indices(root).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let begins = !before.is_some_and(|c| is_word(c) || c == ':' || c == '.')
            // That only says who may see an item.
            && !code[..at].ends_with("(in ");
        let rest = &code[at + root.len()..];
        let end = rest
            .find(|c: char| !is_word(c) && c != ':')
            .unwrap_or(rest.len());
        let segments = rest[..end]
            .split("::")
            .filter(|segment| !segment.is_empty());
        begins.then(|| segments.map(str::to_owned).collect())
    })
}

/// How often a function is named, where that is not its definition.
fn mentions(code: &str, name: &str) -> usize {
    words(code, name)
        .filter(|at| !code[..*at].trim_end().ends_with("fn"))
        .count()
}

/// The names of functions without `pub`, outside of implementations of traits and their definitions.
fn private_functions(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut skipped_to = 0;
    for at in words(code, "fn") {
        let line = code[..at]
            .rfind(['\n', ';', '}', '{'])
            .map_or(0, |line| line + 1);
        let before = code[line..at].trim();
        let name: String = code[at + 2..]
            .trim_start()
            .chars()
            .take_while(|c| is_word(*c))
            .collect();
        if at < skipped_to || name.is_empty() || name == "main" || before.contains("pub") {
            continue;
        }
        if let Some(end) = end_of_trait_block(code, at) {
            skipped_to = end;
            continue;
        }
        found.push(name);
    }
    found
}

/// Where the innermost `impl Trait for` or `trait` around `at` ends, if there is one.
fn end_of_trait_block(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (open, c) in code[..at].char_indices().rev() {
        match c {
            '}' => depth += 1,
            '{' if depth > 0 => depth -= 1,
            '{' => {
                let head = &code[..open];
                let from = head.rfind([';', '}', '{']).map_or(0, |from| from + 1);
                let head = &head[from..];
                let is_trait = next_word(head, "impl").is_some()
                    && next_word(head, "for").is_some()
                    || next_word(head, "trait").is_some();
                return is_trait.then(|| open + block_length(&code[open..]));
            }
            _ => {}
        }
    }
    None
}

/// The octets of the block that `code` begins with.
fn block_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

/// The code without the items that are there for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let end = match (item.find(';'), item.find('{')) {
            (Some(end), Some(open)) if end > open => open + block_length(&item[open..]),
            (Some(end), _) => end + 1,
            (None, Some(open)) => open + block_length(&item[open..]),
            (None, None) => item.len(),
        };
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}
