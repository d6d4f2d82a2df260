//! `seawall top`: what runs, on a terminal.

mod feed;
mod plain;
mod screen;
mod state;
mod view;
mod words;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::ValueHint;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};

use self::{
    feed::{Feed, News},
    screen::{Deed, Screen},
};
use super::{NoPlace, Place, Whom};
use crate::{config, runtime};

/// What is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// Print one look as text, and end.
    #[arg(long)]
    once: bool,
    #[arg(
        long,
        value_name = "TOKEN",
        value_hint = ValueHint::Other,
        help = "Shown to the admin listener [default: admin.token] [env: SEAWALL_ADMIN__TOKEN]"
    )]
    token: Option<String>,
    #[command(flatten)]
    pub(crate) whom: Whom,
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Dark {
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    #[error("http://{0}: {1}")]
    NoState(http::uri::Authority, String),
    #[error("top needs a terminal; --once prints one look as text")]
    NoTerminal,
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

impl Top {
    /// Watches until a key ends it, or gives one look back.
    pub(crate) fn run(&self, config: Option<&config::Admin>) -> Result<Option<String>, Dark> {
        let place = self.whom.place(config, self.token.as_deref())?;
        if self.once {
            return once(&place).map(Some);
        }
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Dark::NoTerminal);
        }
        let terminal = ratatui::try_init()?;
        let ran = watch(terminal, &Feed::of(place));
        ratatui::restore();
        Ok(ran.map(|()| None)?)
    }
}

fn once(place: &Place) -> Result<String, Dark> {
    match runtime::block_on(feed::look(place))? {
        News::State(state) => Ok(plain::text(&state)),
        News::Trouble(why) | News::Notice(why) => Err(Dark::NoState(place.authority.clone(), why)),
    }
}

fn watch(mut terminal: DefaultTerminal, feed: &Feed) -> io::Result<()> {
    let mut screen = Screen::default();
    let mut is_old = true;
    loop {
        if std::mem::take(&mut is_old) {
            terminal.draw(|frame| view::draw(frame, &screen))?;
        }
        // Long enough to cost nothing, short enough for news to be new.
        if event::poll(BLINK)? {
            is_old = true;
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match screen.press(key) {
                    Deed::Leave => return Ok(()),
                    Deed::End(serial) => {
                        if let Err(busy) = feed.end(serial) {
                            screen.hear(busy);
                        }
                    }
                    Deed::Nothing => {}
                },
                _ => {}
            }
        }
        for news in feed.news.try_iter() {
            is_old = true;
            screen.hear(news);
        }
    }
}

const BLINK: Duration = Duration::from_millis(100);
