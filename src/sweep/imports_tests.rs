//! No modules of a crate import each other in a circle.
//!
//! The `use` lines of all files are read as text, and an item is traced to the module that defines
//! it. An item that a parent module defines may be used by its children: it belongs to the
//! vocabulary of the whole folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The path of a module within its crate; the crate itself is empty.
type Module = Vec<String>;

/// The modules of a crate, each with those that it imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// The module that a module and a name in it lead to, if another module defines the name.
type Reexports = BTreeMap<(Module, String), Module>;

/// Crates without circles.
const CRATES: [&str; 5] = ["schema", "dml", "trainer", "report", "sweep"];

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for name in CRATES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
        let mut texts = BTreeMap::new();
        read(&folder, &mut Vec::new(), &mut texts);
        assert!(texts.len() > 10, "{name} has {} modules", texts.len());
        let circles = circles(&imports(&texts));
        assert!(circles.is_empty(), "{name}: {circles:#?}");
    }
}

#[test]
fn a_circle_of_three_modules_is_found() {
    let texts = [
        ("a", "use crate::b::B;"),
        ("b", "use super::{c::{C, D}, d};"),
        ("c", "pub(super) use crate::a::{self, A};"),
        ("d", "use std::fmt;"),
    ];
    let module = |name: &str| vec![name.to_owned()];
    let texts = texts.map(|(name, text)| (module(name), text.to_owned()));
    let circles = circles(&imports(&texts.into_iter().collect()));
    assert_eq!(circles, [BTreeSet::from(["a", "b", "c"].map(module))]);
}

#[test]
fn a_circle_through_a_name_that_the_parent_exports_is_found() {
    let texts = [
        ("", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
        ("a", "use crate::B;"),
        ("b", "use super::A;"),
    ];
    let module = |name: &str| match name {
        "" => Vec::new(),
        name => vec![name.to_owned()],
    };
    let texts = texts.map(|(name, text)| (module(name), text.to_owned()));
    let circles = circles(&imports(&texts.into_iter().collect()));
    assert_eq!(circles, [BTreeSet::from(["a", "b"].map(module))]);
}

/// Reads all modules below a folder, without those of tests.
fn read(folder: &Path, module: &mut Module, texts: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if name.contains("test") || name == "main" {
            continue;
        }
        module.push(name.clone());
        if path.is_dir() {
            read(&path, module, texts);
        } else if is_rust {
            let is_root = ["lib", "mod"].contains(&name.as_str());
            let end = module.len() - usize::from(is_root);
            let text = fs::read_to_string(&path).unwrap();
            let program = text.split("mod tests {").next().unwrap_or_default();
            texts.insert(module[..end].to_vec(), program.to_owned());
        }
        module.pop();
    }
}

fn imports(texts: &BTreeMap<Module, String>) -> Imports {
    let reexports = reexports(texts);
    let mut imports = Imports::new();
    for (module, text) in texts {
        let mut imported = BTreeSet::new();
        for path in used_paths(text) {
            let target = defining_module(&path, module, texts, &reexports);
            imported.extend(target.filter(|target| !module.starts_with(target)));
        }
        imports.insert(module.clone(), imported);
    }
    imports
}

fn reexports(texts: &BTreeMap<Module, String>) -> Reexports {
    let mut reexports = Reexports::new();
    for (module, text) in texts {
        for path in used_paths(text) {
            let Some((name, parent)) = path.split_last() else {
                continue;
            };
            let target = module_of(parent, module, texts).map(|(target, _)| target);
            if let Some(target) = target.filter(|target| target != module) {
                reexports.insert((module.clone(), name.clone()), target);
            }
        }
    }
    reexports
}

/// Returns the module of this crate that defines what a path leads to.
fn defining_module(
    path: &[String],
    from: &Module,
    texts: &BTreeMap<Module, String>,
    reexports: &Reexports,
) -> Option<Module> {
    let (mut module, item) = module_of(path, from, texts)?;
    let Some(item) = item else {
        return Some(module);
    };
    while let Some(next) = reexports.get(&(module.clone(), item.clone())) {
        module.clone_from(next);
    }
    Some(module)
}

/// Returns the paths of all `use` lines, those in braces one by one.
fn used_paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("use ") {
        let (before, line) = rest.split_at(start);
        let line = &line["use ".len()..];
        let last = before.lines().last().unwrap_or_default().trim();
        let is_statement = before.ends_with('\n') && last.is_empty()
            || before.is_empty()
            || last.is_empty()
            || last.starts_with("pub");
        let Some(end) = line.find(';').filter(|_| is_statement) else {
            rest = line;
            continue;
        };
        expand(&line[..end], &mut Vec::new(), &mut paths);
        rest = &line[end..];
    }
    paths
}

/// Writes out `a::{b, c::{d, e}}` as three paths.
fn expand(tree: &str, begin: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some((head, braces)) = tree.split_once('{') else {
        let path = tree.split("::").map(|part| part.trim().to_owned());
        paths.push(begin.iter().cloned().chain(path).collect());
        return;
    };
    let depth = begin.len();
    let head = head.split("::").map(str::trim);
    begin.extend(head.filter(|part| !part.is_empty()).map(str::to_owned));
    let inner = braces.trim_end().strip_suffix('}').unwrap_or(braces);
    let mut open = 0;
    let mut item = String::new();
    for character in inner.chars() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 0 => {
                expand(&std::mem::take(&mut item), begin, paths);
                continue;
            }
            _ => {}
        }
        item.push(character);
    }
    if !item.trim().is_empty() {
        expand(&item, begin, paths);
    }
    begin.truncate(depth);
}

/// Returns the module of this crate that a path leads to, and the item in it.
fn module_of(
    path: &[String],
    from: &Module,
    texts: &BTreeMap<Module, String>,
) -> Option<(Module, Option<String>)> {
    let mut base = from.clone();
    let mut rest = path;
    if rest.first().is_some_and(|first| first == "crate") {
        base.clear();
        rest = &rest[1..];
    }
    while let Some(first) = rest
        .first()
        .filter(|first| ["self", "super"].contains(&first.as_str()))
    {
        if first == "super" {
            base.pop();
        }
        rest = &rest[1..];
    }
    let is_local = rest.len() < path.len();
    let whole: Module = base.iter().chain(rest).cloned().collect();
    let shortest = base.len() + usize::from(!is_local);
    let length = (shortest..=whole.len())
        .rev()
        .find(|&length| texts.contains_key(&whole[..length]))?;
    Some((whole[..length].to_vec(), whole.get(length).cloned()))
}

/// Returns the sets of modules that import each other, directly or not.
fn circles(imports: &Imports) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = imports
        .keys()
        .map(|module| (module, reachable(module, imports)))
        .collect();
    let mut circles = Vec::new();
    for (module, others) in &reached {
        let mutual = others
            .iter()
            .filter(|other| reached[**other].contains(*module));
        let circle: BTreeSet<Module> = mutual.map(|&other| other.clone()).collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reachable<'m>(from: &Module, imports: &'m Imports) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = imports[from].iter().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(imports.get(module).into_iter().flatten());
        }
    }
    reached
}
