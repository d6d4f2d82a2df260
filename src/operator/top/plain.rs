//! One look, as text: for scripts, and where there is no terminal.

use std::{fmt::Write as _, iter};

use super::{
    screen::Order,
    state::{Server, State},
    words::{age, condition, sentence, visible},
};

/// The oldest exchange first.
pub(super) fn text(state: &State) -> String {
    let mut text = sentence(state) + "\n\n";
    let backends = state.backends.iter().flat_map(|one| {
        let own = [
            one.name.clone(),
            condition(one),
            format!("{}/{}", one.slots_in_use, one.slots),
            format!("{}/{}", one.queued, one.queue_max),
            one.held.to_string(),
            one.url.clone(),
        ];
        iter::once(own).chain(one.servers.iter().map(server))
    });
    table(&mut text, ["backend", "condition", "slots", "queue", "held", "url"], backends);
    let mut running: Vec<_> = state.running.iter().collect();
    running.sort_by(|one, other| Order::Age.compare(one, other));
    if !running.is_empty() {
        text.push('\n');
    }
    let running = running.into_iter().map(|one| {
        [
            age(one.age(state)),
            one.stage(),
            one.client.clone().unwrap_or_default(),
            one.backend.clone(),
            one.method.clone(),
            visible(&one.path),
        ]
    });
    table(&mut text, ["age", "stage", "client", "backend", "method", "path"], running);
    text
}

/// Below its backend.
fn server(one: &Server) -> [String; 6] {
    let slots = format!("{}/{}", one.slots_in_use, one.slots);
    let none = String::new;
    [format!("  {}", one.name), one.condition().to_owned(), slots, none(), none(), none()]
}

/// Columns as wide as what is in them; nothing where there are no rows.
fn table<const N: usize>(
    text: &mut String,
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let mut all = vec![heads.map(str::to_owned)];
    all.extend(rows);
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    for row in &all {
        let cells = row.iter().zip(&widths).fold(String::new(), |mut line, (cell, width)| {
            // Writing to memory does not fail.
            let _ = write!(line, "{cell:width$}  ");
            line
        });
        text.push_str(cells.trim_end());
        text.push('\n');
    }
}
