//! How one mistake is kept from hiding others: what is wrong is put right, and reading goes on.

use super::{
    layers::{Node, Origin, Value},
    mistake::Mistake,
};

/// What stands in for a url that is missing or wrong, until all mistakes are found.
const STAND_IN: &str = "http://127.0.0.1:5000";

/// A tree that is read again and again, with one mistake less each time.
pub(super) struct Mending<'a> {
    tree: Node,
    defaults: &'a Node,
    found: Vec<Mistake>,
    /// Elements that were taken out of lists: those behind them were counted differently before.
    removed: Vec<Vec<String>>,
}

/// What became of a mistake.
pub(super) enum Mended {
    /// It is to be told, and reading can go on.
    News(Mistake),
    /// It is to be told, and nothing behind it can be read.
    Beyond(Mistake),
}

impl<'a> Mending<'a> {
    pub(super) fn new(tree: &Node, defaults: &'a Node) -> Self {
        Self { tree: tree.clone(), defaults, found: Vec::new(), removed: Vec::new() }
    }

    pub(super) fn tree(&self) -> &Node {
        &self.tree
    }

    pub(super) fn mend(&mut self, mistake: &Mistake) -> Mended {
        let told = self.explain(mistake.clone());
        let mended = self.put_right(mistake);
        let again =
            self.found.iter().any(|one| one.path == told.path && one.message == told.message);
        if !mended || again {
            return Mended::Beyond(told);
        }
        self.found.push(told.clone());
        Mended::News(told)
    }

    /// One that was found once all was read; none where it came of one that is told already.
    pub(super) fn late(&self, mistake: Mistake) -> Option<Mistake> {
        let is_url_missing = mistake.is_url_missing();
        let told = self.explain(mistake);
        let is_of_server = |one: &Mistake| {
            one.path.get(told.path.len()).is_some_and(|key| key == "servers")
                || one.message.ends_with("did you mean \"url\"?")
                || one.message.ends_with("did you mean \"servers\"?")
        };
        let follows = is_url_missing
            && self.found.iter().any(|one| one.path.starts_with(&told.path) && is_of_server(one));
        (!follows).then_some(told)
    }

    /// By the default of the key, or of what it is a part of; what has none is taken away.
    fn put_right(&mut self, mistake: &Mistake) -> bool {
        let path = &mistake.path;
        let url = || Node { origin: Origin::Default, value: Value::Scalar(STAND_IN.into()) };
        if matches!(path.as_slice(), [backend, _, key] if backend == "backend" && key == "url") {
            return self.tree.replace(path, Some(url()));
        }
        for length in 1..=path.len() {
            let (part, rest) = path.split_at(length);
            let is_number = |segment: &String| segment.parse::<usize>().is_ok();
            // Those of listener, backend and route stand without a number.
            let named: Vec<String> =
                part.iter().filter(|segment| !is_number(segment)).cloned().collect();
            match (self.defaults.find(&named), rest) {
                (None, _) => return self.tree.replace(part, None),
                (Some(Node { value: Value::Array(_), .. }), [index, ..]) if is_number(index) => {
                    let element = &path[..=length];
                    self.removed.push(element.to_vec());
                    return self.tree.replace(element, None);
                }
                (Some(Node { value: Value::Table(_), .. }), [_, ..]) => {}
                (Some(default), _) => return self.tree.replace(part, Some(default.clone())),
            }
        }
        false
    }

    /// Says what to do where the reader did not know.
    fn explain(&self, mut mistake: Mistake) -> Mistake {
        for gone in self.removed.iter().rev() {
            mistake.count_in(gone);
        }
        if mistake.is_url_missing() {
            if mistake.origin == Some(Origin::Default) {
                return Mistake::new(
                    "no backend is named; write backend = \"http://127.0.0.1:5000\" in ./proxy.toml or \
                     the file given by --config, give --backend, or the command that \
                     starts it: seawall -- command",
                );
            }
            mistake.message += "; write url = \"http://127.0.0.1:5000\"";
            return mistake;
        }
        if let ([.., key], true) =
            (mistake.path.as_slice(), mistake.message.contains("; expected one of"))
            && mistake.message.starts_with("unknown key")
            && let Some(home) = self.home_of(key)
        {
            mistake.message = format!("unknown key \"{key}\" here; it belongs in {home}");
        }
        mistake
    }

    /// The table that has such a key, as the user writes it.
    fn home_of(&self, key: &str) -> Option<String> {
        let Value::Table(tables) = &self.defaults.value else { return None };
        let has = |node: &Node| matches!(&node.value, Value::Table(keys) if keys.contains_key(key));
        let (name, _) = tables.iter().find(|(_, node)| has(node))?;
        Some(match name.as_str() {
            "listen" | "backend" | "route" => format!("[[{name}]]"),
            _ => format!("[{name}]"),
        })
    }
}

impl Mistake {
    fn is_url_missing(&self) -> bool {
        self.message.starts_with("the key \"url\" is missing")
    }

    /// An element of this list before ours was taken out.
    fn count_in(&mut self, gone: &[String]) {
        let Some((index, list)) = gone.split_last() else { return };
        let number = |segment: &String| segment.parse::<usize>().ok();
        if self.path.starts_with(list)
            && let Some(own) = self.path.get_mut(list.len())
            && let (Some(before), Some(now)) = (number(index), number(own))
            && now >= before
        {
            *own = (now + 1).to_string();
        }
    }
}
