//! Owns the words that begin with a slash: how each is written, and what the
//! help says of it. Never does anything.

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Say(&'a str),
    Join(&'a str),
    Leave,
    Rooms,
    Who,
    Private {
        to: &'a str,
        text: &'a str,
    },
    Nick(&'a str),
    Ignore(&'a str),
    Help,
    Quit,
    /// Not understood; what would be right.
    Wrong(String),
}

/// Each command, and what it does.
pub(super) const HELP: [(&str, &str); 10] = [
    ("/join ROOM", "go into another room"),
    ("/leave", "leave this room"),
    ("/rooms", "the rooms of this relay"),
    ("/who", "who is in this room"),
    ("/msg NAME text", "say something to one member alone; \"NAME\" if there are blanks in it"),
    ("/nick NAME", "take another name"),
    ("/ignore NAME", "hide what NAME says, or show it again; alone: who is hidden"),
    ("/help", "this"),
    ("/quit", "leave; Ctrl-C does it, too"),
    ("//text", "say /text"),
];

/// What `line` means.
pub(super) fn parse(line: &str) -> Command<'_> {
    let Some(rest) = line.strip_prefix('/') else { return Command::Say(line) };
    if rest.starts_with('/') {
        return Command::Say(rest);
    }
    let (word, argument) = rest.split_once(' ').unwrap_or((rest, ""));
    let argument = argument.trim();
    match (word, argument) {
        ("join", "") => wrong("/join ROOM"),
        ("join", room) => Command::Join(room),
        ("leave" | "part", "") => Command::Leave,
        ("rooms" | "list", "") => Command::Rooms,
        ("who", "") => Command::Who,
        ("msg", argument) => private(argument),
        ("nick", "") => wrong("/nick NAME"),
        ("nick", name) => Command::Nick(name),
        ("ignore", name) => Command::Ignore(name),
        ("help", _) => Command::Help,
        ("quit" | "exit", "") => Command::Quit,
        ("leave" | "part" | "rooms" | "list" | "who" | "quit" | "exit", _) => {
            Command::Wrong(format!("/{word} stands alone; //{word} says it to the room"))
        }
        _ => Command::Wrong(format!("/{word} is no command: /help shows all; //{word} says it to the room")),
    }
}

fn wrong(usage: &str) -> Command<'_> {
    Command::Wrong(format!("expected {usage}"))
}

/// The target may be in quotes, since names may have blanks.
fn private(argument: &str) -> Command<'_> {
    let parts = match argument.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => argument.split_once(' '),
    };
    match parts.map(|(to, text)| (to, text.trim())) {
        Some((to, text)) if !to.is_empty() && !text.is_empty() => Command::Private { to, text },
        _ => wrong("/msg NAME text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let cases = [
            ("hello", Command::Say("hello")),
            (" /who", Command::Say(" /who")),
            ("//who is it", Command::Say("/who is it")),
            ("/join den ", Command::Join("den")),
            ("/join my den", Command::Join("my den")),
            ("/leave", Command::Leave),
            ("/rooms", Command::Rooms),
            ("/who", Command::Who),
            ("/msg bob  hi there", Command::Private { to: "bob", text: "hi there" }),
            ("/msg \"big bob\" hi", Command::Private { to: "big bob", text: "hi" }),
            ("/nick amy", Command::Nick("amy")),
            ("/ignore bob", Command::Ignore("bob")),
            ("/ignore", Command::Ignore("")),
            ("/help", Command::Help),
            ("/quit", Command::Quit),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_says_what_would_be_right() {
        let cases = [
            ("/join", "/join ROOM"),
            ("/msg bob", "/msg NAME text"),
            ("/msg \"bob hi", "/msg NAME text"),
            ("/nick", "/nick NAME"),
            ("/usr/bin", "//usr/bin"),
            ("/quit now", "stands alone"),
            ("/", "/help"),
        ];
        for (line, hint) in cases {
            assert!(matches!(parse(line), Command::Wrong(told) if told.contains(hint)), "{line}");
        }
    }

    #[test]
    fn the_help_names_commands_that_exist() {
        for (usage, _) in HELP {
            let line = usage.replace("ROOM", "den").replace("NAME", "bob");
            assert!(!matches!(parse(&line), Command::Wrong(_)), "{line}");
        }
    }
}
