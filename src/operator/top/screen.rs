//! What is on the screen, and what keys do to it.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    feed::News,
    state::{Rates, Running, State},
};

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) state: Option<State>,
    pub(super) rates: Option<Rates>,
    /// Why there is no news.
    pub(super) trouble: Option<String>,
    /// What came of what was asked for.
    pub(super) notice: Option<String>,
    pub(super) order: Order,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// By its serial: rows come and go.
    selected: Option<u64>,
}

/// What keys mean.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Looking,
    /// The filter is being typed.
    Filtering,
    /// Is the exchange with this serial to be ended?
    Asking(u64),
}

/// Which exchange is shown first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Age,
    Stage,
    Client,
    Path,
}

/// What is to be done besides.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    Leave,
    /// The exchange with this serial.
    End(u64),
}

impl Screen {
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::State(state) => {
                self.rates = self.state.as_ref().and_then(|before| state.rates(before));
                self.state = Some(*state);
                self.trouble = None;
            }
            News::Trouble(why) => {
                self.rates = None;
                self.trouble = Some(why);
            }
            News::Notice(notice) => self.notice = Some(notice),
        }
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Deed {
        let is_break = key.code == KeyCode::Char('c') || key.code == KeyCode::Char('d');
        if key.modifiers.contains(KeyModifiers::CONTROL) && is_break {
            return Deed::Leave;
        }
        match self.mode {
            Mode::Looking => return self.look(key.code),
            Mode::Filtering => match key.code {
                KeyCode::Enter => self.mode = Mode::Looking,
                KeyCode::Esc => {
                    self.filter.clear();
                    self.mode = Mode::Looking;
                }
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Char(char) => self.filter.push(char),
                _ => {}
            },
            Mode::Asking(serial) => {
                self.mode = Mode::Looking;
                if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                    return Deed::End(serial);
                }
            }
        }
        Deed::Nothing
    }

    fn look(&mut self, key: KeyCode) -> Deed {
        self.notice = None;
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Deed::Leave,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('/') => self.mode = Mode::Filtering,
            KeyCode::Char('e') => {
                if let Some(one) = self.selected() {
                    self.mode = Mode::Asking(one.serial);
                }
            }
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-10),
            KeyCode::PageDown => self.step(10),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            _ => {}
        }
        Deed::Nothing
    }

    /// Those that pass the filter, in order.
    pub(super) fn rows(&self) -> Vec<&Running> {
        let wanted = self.filter.to_lowercase();
        let running = self.state.iter().flat_map(|state| &state.running);
        let mut rows: Vec<_> = running.filter(|one| one.says(&wanted)).collect();
        rows.sort_by(|one, other| self.order.compare(one, other));
        rows
    }

    /// The place of the selected one among the rows.
    pub(super) fn place(&self) -> Option<usize> {
        let serial = self.selected?;
        self.rows().iter().position(|one| one.serial == serial)
    }

    pub(super) fn find(&self, serial: u64) -> Option<&Running> {
        self.state.as_ref()?.running.iter().find(|one| one.serial == serial)
    }

    fn selected(&self) -> Option<&Running> {
        self.find(self.selected?)
    }

    fn step(&mut self, by: isize) {
        let rows = self.rows();
        let place = match self.place() {
            Some(place) => place.saturating_add_signed(by),
            None if by > 0 => 0,
            None => rows.len(),
        };
        let serial = rows.get(place.min(rows.len().saturating_sub(1))).map(|one| one.serial);
        self.selected = serial;
    }
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Age => Self::Stage,
            Self::Stage => Self::Client,
            Self::Client => Self::Path,
            Self::Path => Self::Age,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Stage => "stage",
            Self::Client => "client",
            Self::Path => "path",
        }
    }

    /// Among equals, the oldest first.
    pub(super) fn compare(self, one: &Running, other: &Running) -> Ordering {
        let first = match self {
            Self::Age => Ordering::Equal,
            Self::Stage => (!one.orphan, &one.stage).cmp(&(!other.orphan, &other.stage)),
            Self::Client => one.client.cmp(&other.client),
            Self::Path => one.path.cmp(&other.path),
        };
        first.then(one.began.total_cmp(&other.began)).then(one.serial.cmp(&other.serial))
    }
}

impl Running {
    fn says(&self, wanted: &str) -> bool {
        let own = [&self.method, &self.path, &self.backend, &self.stage()];
        let own = own.into_iter().chain(&self.client);
        own.into_iter().any(|text| text.to_lowercase().contains(wanted))
    }
}
