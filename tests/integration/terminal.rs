//! What `sweep run` looks like: on terminals of 80 and 120 columns, on one that cannot move its cursor, and in a pipe.

use std::{
    fs::File,
    io::Read,
    num::NonZero,
    os::fd::{AsFd, OwnedFd},
    process::Stdio,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::desk::{Desk, SMALL};

/// So many lines that nothing leaves the screen.
const LINES: u16 = 300;

fn desk() -> Desk {
    let long =
        "name = \"Triplet loss with a name that is too long for a terminal of eighty columns\"";
    let sweep = SMALL
        .replace("slots = 2", "slots = 1")
        .replace("name = \"Triplet\"", long);
    Desk::new(&sweep).slowly(10)
}

/// A terminal: the side of the screen, and the side of the program.
fn terminal(columns: u16) -> (File, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let path = name.to_str().unwrap();
    let program = File::options().read(true).write(true).open(path).unwrap();
    let size = Winsize {
        ws_row: LINES,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(program.as_fd(), size).unwrap();
    (File::from(screen), program.into())
}

/// What a terminal shows in the end, and the most bars of the whole sweep that it showed at a time.
struct Session {
    screen: String,
    bars: usize,
}

/// Runs the sweep of a desk on a terminal.
fn session(desk: &Desk, columns: u16, kind: &str) -> Session {
    let (mut screen, program) = terminal(columns);
    let mut command = desk.command(&desk.run_arguments());
    command.env("TERM", kind).env_remove("NO_COLOR");
    command.stdout(Stdio::from(program.try_clone().unwrap()));
    command.stderr(Stdio::from(program));
    let mut child = command.spawn().unwrap();
    // With the command, the last handle of the program's side is closed here.
    drop(command);
    let mut parser = vt100::Parser::new(
        NonZero::new(LINES).unwrap(),
        NonZero::new(columns).unwrap(),
        0,
    );
    let (mut bytes, mut bars) = ([0; 4096], 0);
    // Linux reports an error when the program's side is closed.
    while let Ok(count @ 1..) = screen.read(&mut bytes) {
        parser.process(&bytes[..count]);
        bars = bars.max(lines(&parser, columns).matches("jobs, ").count());
    }
    assert!(child.wait().unwrap().success());
    Session {
        screen: lines(&parser, columns),
        bars,
    }
}

/// The lines of the screen. A full one is not joined with the next.
fn lines(parser: &vt100::Parser, columns: u16) -> String {
    let rows = parser.screen().rows(0, columns);
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

/// The lines before the table, without times.
fn told(text: &str) -> String {
    let lines = text.lines().map(str::trim_end);
    let told = lines.take_while(|line| *line != "small" && !line.is_empty());
    let without_time = |line: &str| match line.rsplit_once(" in ") {
        Some((what, time)) if time.ends_with(" s") => format!("{what} in _ s"),
        _ => line.to_owned(),
    };
    told.map(without_time).collect::<Vec<_>>().join("\n")
}

#[test]
fn on_a_terminal_one_bar_is_drawn_at_a_time_and_none_is_left() {
    let desk = desk();
    let session = session(&desk, 120, "xterm-256color");
    assert_eq!(session.bars, 1, "{}", session.screen);
    insta::assert_snapshot!(told(&session.screen), @r"
    small: 2 methods x 2 seeds = 4 results, 1 slot (cpu 0)
    finished  prepare Glyphs (synthetic) in _ s
    finished  train Contrastive, seed 0 in _ s
    finished  evaluate Contrastive, seed 0 in _ s
    finished  train Triplet loss with a name that is too long for a terminal of eighty columns, seed 0 in _ s
    finished  evaluate Triplet loss with a name that is too long for a terminal of eighty columns, seed 0 in _ s
    finished  train Contrastive, seed 1 in _ s
    finished  evaluate Contrastive, seed 1 in _ s
    finished  train Triplet loss with a name that is too long for a terminal of eighty columns, seed 1 in _ s
    finished  evaluate Triplet loss with a name that is too long for a terminal of eighty columns, seed 1 in _ s
    ");
    assert!(
        session
            .screen
            .contains("written to reports/small: table.md, table.csv")
    );
    assert!(!session.screen.contains("jobs, "), "{}", session.screen);
}

#[test]
fn on_eighty_columns_a_long_name_breaks_no_table() {
    let desk = desk();
    let session = session(&desk, 80, "xterm-256color");
    assert!(session.bars <= 1, "{}", session.screen);
    let (_, tables) = session.screen.split_once("\nsmall\n").unwrap();
    let (tables, _) = tables.split_once("\nEach number").unwrap();
    let rows = tables
        .lines()
        .filter(|line| line.starts_with("Triplet loss"));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() > 1, "{tables}");
    // A row that was broken would end before its values.
    let is_whole =
        |row: &&str| row.contains('…') && row.ends_with(|end: char| !end.is_alphabetic());
    assert!(rows.iter().all(is_whole), "{tables}");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_the_lines_of_a_pipe() {
    let dumb = session(&desk(), 200, "dumb");
    let desk = desk();
    let pipe = desk.run().assert_code(0);
    assert_eq!(told(&dumb.screen), told(&pipe.err));
    insta::assert_snapshot!(told(&pipe.err), @r"
    small: 2 methods x 2 seeds = 4 results, 1 slot (cpu 0)
    started   prepare Glyphs (synthetic) on cpu 0
    finished  prepare Glyphs (synthetic) in _ s
    started   train Contrastive, seed 0 on cpu 0
    finished  train Contrastive, seed 0 in _ s
    started   evaluate Contrastive, seed 0 on cpu 0
    finished  evaluate Contrastive, seed 0 in _ s
    started   train Triplet loss with a name that is too long for a terminal of eighty columns, seed 0 on cpu 0
    finished  train Triplet loss with a name that is too long for a terminal of eighty columns, seed 0 in _ s
    started   evaluate Triplet loss with a name that is too long for a terminal of eighty columns, seed 0 on cpu 0
    finished  evaluate Triplet loss with a name that is too long for a terminal of eighty columns, seed 0 in _ s
    started   train Contrastive, seed 1 on cpu 0
    finished  train Contrastive, seed 1 in _ s
    started   evaluate Contrastive, seed 1 on cpu 0
    finished  evaluate Contrastive, seed 1 in _ s
    started   train Triplet loss with a name that is too long for a terminal of eighty columns, seed 1 on cpu 0
    finished  train Triplet loss with a name that is too long for a terminal of eighty columns, seed 1 in _ s
    started   evaluate Triplet loss with a name that is too long for a terminal of eighty columns, seed 1 on cpu 0
    finished  evaluate Triplet loss with a name that is too long for a terminal of eighty columns, seed 1 in _ s
    ");
    assert!(!pipe.err.contains('\u{1b}') && !pipe.out.contains('\u{1b}'));
}
