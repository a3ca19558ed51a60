//! The terminal of a live view: taken over whole, and given back as it was, whatever ends the view.
//!
//! Knows nothing of what it shows.

use std::io::{self, BufWriter, IsTerminal, Read, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use tokio::sync::mpsc;

use super::line::Line;

/// What a terminal in raw mode sends for Ctrl-C, in place of a signal.
const CTRL_C: u8 = 3;
/// For a terminal that does not tell its size.
const SIZE_DEFAULT: (u16, u16) = (100, 40);

/// The terminal, until dropped.
pub(super) struct Screen {
    /// Keys are read one by one.
    is_raw: bool,
    in_colour: bool,
}

impl Screen {
    pub(super) fn open(in_colour: bool) -> io::Result<Self> {
        let is_raw = io::stdin().is_terminal();
        if is_raw {
            enable_raw_mode()?;
        }
        // From here on, dropping it gives the terminal back.
        let screen = Self { is_raw, in_colour };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Columns and lines, asked anew each time: a window may have changed its size.
    pub(super) fn size() -> (usize, usize) {
        let (columns, lines) = size().unwrap_or(SIZE_DEFAULT);
        (usize::from(columns), usize::from(lines))
    }

    /// Draws over what is there, so that nothing flickers.
    pub(super) fn show(&self, drawn: &[Line]) -> io::Result<()> {
        let (columns, lines) = Self::size();
        let mut out = BufWriter::new(io::stdout().lock());
        for (at, line) in (0_u16..).zip(drawn.iter().take(lines)) {
            queue!(out, MoveTo(0, at))?;
            write!(out, "{}", line.render(columns, self.in_colour))?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
        }
        if drawn.len() < lines {
            queue!(
                out,
                MoveTo(0, u16::try_from(drawn.len()).unwrap_or(u16::MAX)),
                Clear(ClearType::FromCursorDown)
            )?;
        }
        out.flush()
    }

    /// Tells once, when `q` or Ctrl-C is pressed.
    pub(super) fn quit_keys(&self) -> io::Result<mpsc::Receiver<()>> {
        let (pressed, receiver) = mpsc::channel(1);
        if self.is_raw {
            let wait = move || {
                let quits = |key: &io::Result<u8>| matches!(key, Ok(b'q' | b'Q' | CTRL_C) | Err(_));
                if io::stdin().lock().bytes().any(|key| quits(&key)) {
                    // If the view has ended by itself, nobody listens.
                    let _ = pressed.blocking_send(());
                }
            };
            // Detached: a read from a terminal cannot be interrupted, and must not keep the process.
            std::thread::Builder::new().name("keys".into()).spawn(wait)?;
        }
        Ok(receiver)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        if self.is_raw {
            let _ = disable_raw_mode();
        }
    }
}
