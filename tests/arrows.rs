//! Use flows one way through the modules: each uses those behind it, and none uses one before it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The order of the map in `lib.rs`, roughly: who stands later is used by those before.
const ORDER: [&str; 36] = [
    "main",
    "cli",
    "demo",
    "operator",
    "fuzzing",
    "steps",
    "server",
    "reload",
    "listen",
    "front",
    "supervise",
    "admin",
    "proxy",
    "probe",
    "reply",
    "visit",
    "connection",
    "exchange",
    "replay",
    "backend",
    "tunnel",
    "admission",
    "client",
    "headers",
    "spool",
    "refusal",
    "wishes",
    "socket",
    "pipe",
    "observe",
    "notify",
    "tasks",
    "runtime",
    "lock",
    "prefetch",
    "request_id",
];

/// Everybody may use it, and it uses nobody.
const LAST: &str = "config";

#[test]
fn no_module_uses_one_that_stands_before_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rank = |name: &str| match name {
        LAST => ORDER.len(),
        name => ORDER
            .iter()
            .position(|known| *known == name)
            .unwrap_or_else(|| panic!("{name} has no place in the order")),
    };
    let mut arrows = BTreeSet::new();
    for file in files(&source) {
        let inner = file.strip_prefix(&source).unwrap();
        let module = inner.components().next().unwrap().as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        // Tests may look anywhere; `lib.rs` is the list itself.
        if module == "lib" || inner.to_string_lossy().contains("tests") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        arrows.extend(used(code).into_iter().map(|used| (module.clone(), used)));
    }
    assert!(arrows.len() > 50, "the reader of use lines is broken: {arrows:?}");
    let back: Vec<_> = arrows
        .iter()
        .filter(|(module, used)| module != used && rank(module) >= rank(used))
        .map(|(module, used)| format!("{module} uses {used}"))
        .collect();
    assert!(back.is_empty(), "arrows back: {back:?}");
}

/// The first segments behind `crate::`, in `use` lines and elsewhere.
fn used(code: &str) -> BTreeSet<String> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let name = |text: &str| {
        text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect::<String>()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut begins = true;
        for (at, char) in group.char_indices() {
            match char {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                char if begins && char.is_alphabetic() => {
                    found.insert(name(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}
