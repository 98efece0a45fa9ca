//! What a person sees on a terminal while it waits: how far it is, and what is not healthy yet, root causes first.
//!
//! The lines replace each other in place. Nothing is shown in a pipe, in a log, or on a terminal that cannot move its cursor.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cli::{LogFormat, Session, Style};
use contract::document::{CheckReport, CheckState, HealthReport};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The most checks that are listed.
const MOST: usize = 12;
/// How often the clock is drawn.
const TICK: Duration = Duration::from_millis(500);
/// Width and height where the terminal does not say.
const USUAL: (usize, usize) = (80, 24);
/// A narrower terminal is drawn as if it were this wide; then lines wrap, and are still taken back.
const NARROWEST: usize = 16;

/// Lines on stderr that replace each other, drawn by a thread of their own so that the clock runs while probes do.
pub(super) struct Live {
    painter: Option<(Sender<Vec<Row>>, JoinHandle<()>)>,
}

/// One line, in parts that are coloured.
type Row = Vec<(Tint, String)>;

/// The colour of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tint {
    Plain,
    Bold,
    Dim,
    Good,
    Doubtful,
    Bad,
    /// Seconds since the beginning, filled in when it is drawn.
    Clock,
}

impl Live {
    /// Shows itself only on a terminal, and not with `--quiet` or a log for programs.
    pub(super) fn new(session: &Session) -> Self {
        let flags = session.flags();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let visible = std::io::stderr().is_terminal() && !dumb && !flags.quiet && flags.log_format == LogFormat::Text;
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match flags.color {
            cli::ColorChoice::Always => true,
            cli::ColorChoice::Never => false,
            cli::ColorChoice::Auto => !refused,
        };
        let painter = visible.then(|| {
            let (sender, receiver) = channel::<Vec<Row>>();
            let painter = std::thread::spawn(move || {
                let mut screen =
                    Screen { style: Style { color }, begun: Instant::now(), rows: Vec::new(), drawn: Vec::new() };
                screen.rows = vec![vec![(Tint::Clock, String::new()), (Tint::Dim, "looking".into())]];
                loop {
                    screen.draw();
                    match receiver.recv_timeout(TICK) {
                        Ok(rows) => screen.rows = rows,
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                screen.take_back();
            });
            (sender, painter)
        });
        Self { painter }
    }

    /// Shows where it is.
    pub(super) fn show(&mut self, report: &HealthReport, stable: u32, wanted: u32) {
        if let Some((sender, _)) = &self.painter {
            // The painter ends with us, not before.
            let _ = sender.send(rows(report, stable, wanted));
        }
    }

    /// Takes the lines back.
    fn end(&mut self) {
        if let Some((sender, painter)) = self.painter.take() {
            drop(sender);
            let _ = painter.join();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

/// What is to be seen of a report.
fn rows(report: &HealthReport, stable: u32, wanted: u32) -> Vec<Row> {
    let good = report.summary.up + report.summary.degraded;
    let total = report.checks.len() as u32 - report.summary.skipped;
    let mut head: Row = vec![
        (Tint::Clock, String::new()),
        (if good == total { Tint::Good } else { Tint::Bold }, format!("{good} of {total} healthy")),
        (Tint::Dim, format!(", round {}", report.rounds)),
    ];
    if wanted > 1 {
        head.push((Tint::Dim, format!(", {stable} of {wanted} good rounds")));
    }
    let mut rows = vec![head];
    let mut listed: Vec<(&CheckReport, Tint, &str)> = Vec::new();
    let states = [
        (CheckState::Down, Tint::Bad, "✗"),
        (CheckState::Unknown, Tint::Doubtful, "?"),
        (CheckState::Degraded, Tint::Doubtful, "!"),
    ];
    for (state, tint, sign) in states {
        listed.extend(report.checks.iter().filter(|check| check.state == state).map(|check| (check, tint, sign)));
    }
    let width = listed.iter().take(MOST).map(|(check, _, _)| check.id.width()).max().unwrap_or(0).min(32);
    for (check, tint, sign) in listed.iter().take(MOST) {
        let pad = " ".repeat(width.saturating_sub(check.id.width()));
        rows.push(vec![
            (*tint, format!("  {sign} ")),
            (Tint::Bold, check.id.clone()),
            (Tint::Plain, format!("{pad}  {}", check.message.as_deref().unwrap_or_default())),
        ]);
        let blocked =
            report.root_causes.iter().find(|cause| cause.id == check.id).map_or(0, |cause| cause.impacts.len());
        if blocked > 0
            && let Some(row) = rows.last_mut()
        {
            row.push((Tint::Dim, format!(" (blocks {blocked})")));
        }
    }
    if listed.len() > MOST {
        rows.push(vec![(Tint::Dim, format!("    and {} more", listed.len() - MOST))]);
    }
    rows
}

/// The lines that are on the terminal.
struct Screen {
    style: Style,
    begun: Instant,
    rows: Vec<Row>,
    /// How wide each drawn line is, in columns.
    drawn: Vec<usize>,
}

impl Screen {
    fn draw(&mut self) {
        let (columns, height) = size();
        let most = height.saturating_sub(1).max(1);
        let mut text = self.to_take_back(columns);
        self.drawn.clear();
        for row in self.rows.iter().take(most) {
            let (line, width) =
                fit(row, columns.saturating_sub(1).max(NARROWEST), self.style, self.begun.elapsed().as_secs());
            text.push_str(&line);
            text.push_str("\u{1b}[K\n");
            self.drawn.push(width);
        }
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    fn take_back(&mut self) {
        let text = self.to_take_back(size().0);
        self.drawn.clear();
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Moves to where the lines begin, and clears what is below. On a terminal that became narrower they take more room.
    fn to_take_back(&self, columns: usize) -> String {
        let taken: usize = self.drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if taken == 0 { String::new() } else { format!("\u{1b}[{taken}A\r\u{1b}[J") }
    }
}

/// Width and height of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL,
    }
}

/// A line that is not wider than the terminal, and how wide it is.
fn fit(row: &Row, columns: usize, style: Style, seconds: u64) -> (String, usize) {
    // What strangers said may hold anything; nothing of it moves the cursor.
    let clean = |part: &str| part.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let parts: Vec<(Tint, String)> = row
        .iter()
        .map(|(tint, part)| match tint {
            Tint::Clock => (Tint::Dim, format!("{:>2}:{:02}  ", seconds / 60, seconds % 60)),
            tint => (*tint, clean(part)),
        })
        .collect();
    let whole: usize = parts.iter().map(|(_, part)| part.width()).sum();
    let mut left = if whole <= columns { columns } else { columns.saturating_sub(1) };
    let mut text = String::new();
    let mut used = 0;
    for (tint, part) in &parts {
        let mut shown = String::new();
        for c in part.chars() {
            let wide = c.width().unwrap_or(0);
            if wide > left {
                left = 0;
                break;
            }
            left -= wide;
            used += wide;
            shown.push(c);
        }
        text.push_str(&match tint {
            Tint::Plain | Tint::Clock => shown,
            Tint::Bold => style.bold(&shown),
            Tint::Dim => style.dim(&shown),
            Tint::Good => style.green(&shown),
            Tint::Doubtful => style.yellow(&shown),
            Tint::Bad => style.red(&shown),
        });
        if left == 0 {
            break;
        }
    }
    if whole > columns {
        text.push('…');
        used += 1;
    }
    (text, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_never_wider_than_the_terminal() {
        let row: Row = vec![
            (Tint::Clock, String::new()),
            (Tint::Bold, "数据库数据库".into()),
            (Tint::Plain, "refused\n\u{1b}[2J the connection, and says so at length".into()),
        ];
        for columns in 8..90 {
            let (line, width) = fit(&row, columns, Style::PLAIN, 61);
            assert!(width <= columns && line.width() == width, "{columns}: {line}");
            assert!(!line.contains('\u{1b}') && !line.contains('\n'));
            assert!(line.starts_with(" 1:01"), "{columns}: {line}");
        }
        assert_eq!(fit(&vec![(Tint::Plain, "short".into())], 40, Style::PLAIN, 0), ("short".to_owned(), 5));
        // A line that just fits keeps its last character.
        assert_eq!(fit(&vec![(Tint::Plain, "12345678".into())], 8, Style::PLAIN, 0).0, "12345678");
    }
}
