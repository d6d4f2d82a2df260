//! The screen, drawn.

use std::iter;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Paragraph, Row, Table, TableState, Wrap},
};

use super::{
    screen::{Mode, Screen},
    state::{Backend, Running, Server, State},
    words::{age, bytes, condition, sentence, visible},
};

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let lines = lines(screen, usize::from(frame.area().height / 2));
    let count = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(1);
    let [head, rates, boxes, rows, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Length(count.saturating_add(1)),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(said(screen)).wrap(Wrap { trim: true }), head);
    frame.render_widget(Paragraph::new(pace(screen)).dim(), rates);
    if let Some(state) = &screen.state {
        frame.render_widget(house(&lines, boxes.width), boxes);
        exchanges(frame, screen, state, rows);
    }
    frame.render_widget(Paragraph::new(keys(screen)), foot);
}

fn said(screen: &Screen) -> Line<'static> {
    match (&screen.trouble, &screen.state) {
        (Some(trouble), _) => Line::from(format!("{trouble}; trying again")).red(),
        (None, Some(state)) => Line::from(sentence(state)).bold(),
        (None, None) => Line::from("asking ..."),
    }
}

fn pace(screen: &Screen) -> String {
    let Some(rates) = screen.rates else { return String::new() };
    format!(
        "a second: {:.1} exchanges ended, {:.1} of them for nobody; {} delivered, {} discarded",
        rates.ended,
        rates.discarded,
        bytes(rates.delivered_bytes),
        bytes(rates.discarded_bytes),
    )
}

/// A line of the house.
enum OfHouse<'a> {
    Backend(&'a Backend),
    /// One of several.
    Server(&'a Server),
    /// So many that there is no room for.
    More(usize),
}

/// The backends, each with its servers where it has several: so many that exchanges have the other half.
fn lines(screen: &Screen, most: usize) -> Vec<OfHouse<'_>> {
    let backends = screen.state.as_ref().map_or(&[][..], |state| &state.backends);
    let several = backends.iter().filter(|one| !one.servers.is_empty()).count();
    let room = most.saturating_sub(backends.len() + several).checked_div(several).unwrap_or(0);
    let of_one = |one| {
        let (shown, more) = Backend::servers(one, room);
        let servers = shown.into_iter().map(OfHouse::Server);
        let more = (more > 0).then_some(OfHouse::More(more));
        iter::once(OfHouse::Backend(one)).chain(servers).chain(more)
    };
    backends.iter().flat_map(of_one).collect()
}

fn house(lines: &[OfHouse<'_>], room: u16) -> Table<'static> {
    let has_bars = room >= 76;
    let widths = if has_bars { [19, 21] } else { [9, 11] };
    let name = |line: &OfHouse<'_>| match line {
        OfHouse::Backend(one) => one.name.clone(),
        OfHouse::Server(one) => format!("  {}", one.name),
        OfHouse::More(more) => format!("  and {more} more"),
    };
    let longest = lines.iter().map(|line| name(line).chars().count()).max().unwrap_or(0);
    let first = u16::try_from(longest).unwrap_or(u16::MAX).clamp(14, (room / 4).max(14));
    let rows = lines.iter().map(|line| {
        let [condition, slots, queue, held] = match line {
            OfHouse::Backend(one) => [
                Line::from(condition(one)).style(colour(&one.condition)),
                gauge(one.slots_in_use, one.slots, has_bars),
                gauge(one.queued, one.queue_max, has_bars),
                Line::from(held(one)),
            ],
            OfHouse::Server(one) => [
                Line::from(one.condition()).style(colour(one.condition())),
                gauge(one.slots_in_use, one.slots, has_bars),
                Line::default(),
                Line::default(),
            ],
            OfHouse::More(_) => Default::default(),
        };
        Row::new([Line::from(name(line)), condition, slots, queue, held])
    });
    Table::new(
        rows,
        [
            Constraint::Length(first),
            Constraint::Fill(1),
            Constraint::Length(widths[0]),
            Constraint::Length(widths[1]),
            Constraint::Length(10),
        ],
    )
    .header(Row::new(["backend", "condition", "slots", "queue", ""]).dim())
}

fn colour(condition: &str) -> Color {
    match condition {
        "up" => Color::Green,
        "unwell" => Color::Yellow,
        "unknown" => Color::Reset,
        _ => Color::Red,
    }
}

fn held(backend: &Backend) -> String {
    if backend.held == 0 { String::new() } else { format!("{} held", backend.held) }
}

/// Ten cells, where there is room for them, and the numbers.
fn gauge(used: u32, of: u32, has_bar: bool) -> Line<'static> {
    const CELLS: u32 = 10;
    // One cell at least where there is anything, and all of them only where it is full.
    let cells = (u64::from(used) * u64::from(CELLS)).checked_div(u64::from(of)).unwrap_or(0);
    let cells = usize::try_from(cells.clamp(u64::from(used > 0), u64::from(CELLS))).unwrap_or(0);
    let colour = if used >= of && of > 0 { Color::Yellow } else { Color::Blue };
    if !has_bar {
        return Line::from(format!("{used}/{of}"));
    }
    Line::from(vec![
        Span::styled("█".repeat(cells), colour),
        Span::styled("░".repeat(CELLS as usize - cells), Style::new().dim()),
        Span::raw(format!(" {used}/{of}")),
    ])
}

fn exchanges(frame: &mut Frame<'_>, screen: &Screen, state: &State, area: Rect) {
    let rows = screen.rows();
    let mut place = TableState::new().with_selected(screen.place());
    // What a narrow terminal has no room for; the path is what tells one from the other.
    let room = area.width;
    let columns = [
        ("age", 8, true),
        ("stage", 18, true),
        ("client", 21, room >= 90),
        ("backend", 12, room >= 104 && state.backends.len() > 1),
        ("method", 7, true),
        ("path", 0, true),
        ("delivered", 10, room >= 70),
    ];
    let shown = || columns.iter().enumerate().filter(|(_, (_, _, is_shown))| *is_shown);
    let widths = shown().map(|(_, (_, width, _))| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(*width),
    });
    let cells = |one| {
        let mut cells = cells(one, state).map(Some);
        Row::new(shown().filter_map(|(column, _)| cells[column].take()).collect::<Vec<_>>())
    };
    let table = Table::new(rows.into_iter().map(cells), widths)
        .header(Row::new(shown().map(|(_, (name, _, _))| *name)).dim())
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut place);
}

/// One for each column.
fn cells(one: &Running, state: &State) -> [Line<'static>; 7] {
    let colour = match one.stage.as_str() {
        _ if one.orphan => Color::Magenta,
        "queued" => Color::Yellow,
        "waiting" | "answering" => Color::Green,
        _ => Color::Reset,
    };
    // Seen as a number of bytes, and no more exact.
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let delivered = one.delivered_bytes as f64;
    [
        Line::from(age(one.age(state))),
        Line::from(one.stage()).style(colour),
        Line::from(one.client.clone().unwrap_or_default()),
        Line::from(one.backend.clone()),
        Line::from(one.method.clone()),
        Line::from(visible(&one.path)),
        Line::from(bytes(delivered)),
    ]
}

fn keys(screen: &Screen) -> Line<'static> {
    match screen.mode {
        Mode::Asking(serial) => {
            let one = screen.find(serial);
            let what = one.map_or("it is over".to_owned(), |one| {
                format!("{} {}", one.method, visible(&one.path))
            });
            Line::from(format!("end this exchange: {what}? y/n")).yellow().bold()
        }
        Mode::Filtering => Line::from(format!("/{}_   enter: keep, esc: clear", screen.filter)),
        Mode::Looking => match &screen.notice {
            Some(notice) => Line::from(notice.clone()).yellow(),
            None => {
                let filter = match screen.filter.as_str() {
                    "" => "/ filter".to_owned(),
                    filter => format!("/ filter ({filter})"),
                };
                let order = screen.order.word();
                let keys = "q quit   ↑↓ select   e end";
                Line::from(format!("{keys}   s sort ({order})   {filter}   * has no client left"))
                    .dim()
            }
        },
    }
}
