//! What happens, and what the chat makes of it.

use super::*;
use crate::cli::chat::Ending;
use crate::cli::chat::model::Standing;
use outcry::client::{DirectOutcome, DirectStatus, End, Lost, NotSent, RefusedCause, RoomKey, SlowCause};
use std::time::Duration;

// ---- saying -----------------------------------------------------------------------------

#[test]
fn own_lines_are_sending_until_the_room_shows_them() {
    let mut chat = Chat::new();
    chat.types("one");
    chat.types("two");
    assert_eq!((chat.last(), chat.model.waiting()), (&own("two", Delivery::Sending), 2));
    chat.says(BOB, "bob", "hi");
    assert_eq!(chat.last(), &own("two", Delivery::Sending), "what waits stays below");
    chat.says(ME, "amy", "one");
    let (ticket, room) = (chat.wire.ticket(0), chat.room());
    chat.hear(Event::Delivered { ticket, room, seq: Some(Seq(12)) });
    assert_eq!(chat.model.waiting(), 1);
    chat.says(ME, "amy", "two");
    assert_eq!((chat.last(), chat.model.waiting()), (&own("two", Delivery::Delivered), 0));
}

#[test]
fn what_is_delivered_before_it_is_shown_stands_there_once() {
    let mut chat = Chat::new();
    chat.types("one");
    let (lines, ticket, room) = (chat.lines(), chat.wire.ticket(0), chat.room());
    chat.hear(Event::Delivered { ticket, room, seq: None });
    assert_eq!((chat.last(), chat.model.waiting()), (&own("one", Delivery::Delivered), 1));
    chat.says(ME, "amy", "one");
    assert_eq!((chat.lines(), chat.model.waiting()), (lines, 0));
}

#[test]
fn a_gap_is_told_and_what_was_delivered_is_not_waited_for() {
    let mut chat = Chat::new();
    chat.types("one");
    let (ticket, room) = (chat.wire.ticket(0), chat.room());
    chat.hear(Event::Delivered { ticket, room, seq: None });
    chat.hear(Event::Gap { room, from: Seq(10), to: Seq(12) });
    assert_eq!((chat.last(), chat.model.waiting()), (&What::Lost(3), 0));
}

#[test]
fn what_is_not_sent_says_why() {
    let mut chat = Chat::new();
    for (at, (why, hint)) in [
        (NotSent::Refused(RefusedCause::Muted), "muted"),
        (NotSent::Expired, "away for too long"),
        (NotSent::Unknown, "perhaps not sent"),
    ]
    .into_iter()
    .enumerate()
    {
        chat.types("hi");
        let (ticket, room) = (chat.wire.ticket(at), chat.room());
        chat.hear(Event::NotSent { ticket, room, why });
        assert!(matches!(chat.last(), What::Own { delivery: Delivery::Failed(told), .. } if told.contains(hint)));
    }
    assert!(chat.model.has_failed && chat.model.waiting() == 0);
}

#[test]
fn what_finds_no_place_waits_for_it() {
    let mut chat = Chat::new();
    chat.types("one");
    chat.wire.is_full.set(true);
    chat.types("two");
    chat.types("three");
    assert_eq!((chat.wire.texts().len(), chat.model.waiting()), (1, 3));
    chat.wire.is_full.set(false);
    let (ticket, room) = (chat.wire.ticket(0), chat.room());
    chat.hear(Event::Delivered { ticket, room, seq: None });
    assert_eq!(chat.wire.texts(), ["one", "two", "three"]);
}

#[test]
fn long_lines_are_cut_to_what_the_room_takes() {
    let text = "汉字e\u{301}x".repeat(400);
    let most = |spec: RoomSpec| {
        let mut chat = Chat::alone_in(spec, 3);
        chat.types(&text);
        assert_eq!(chat.wire.texts().concat(), text);
        chat.wire.texts().iter().map(String::len).max().unwrap()
    };
    assert!((1000..=1024 - 3 - 3).contains(&most(RoomSpec::lobby())));
    assert!((1180..=1191).contains(&most(RoomSpec::open("den"))));
    let sealed = most(RoomSpec::sealed("den", RoomKey::from_secret("den", &[7; 32])));
    assert!((1080..1191).contains(&sealed), "{sealed}");
}

#[test]
fn control_characters_and_empty_lines_are_not_sent() {
    let mut chat = Chat::new();
    chat.types("a\u{7}\tb");
    chat.types("   ");
    chat.types("");
    assert_eq!(chat.wire.texts(), ["a\u{FFFD}    b"]);
}

#[test]
fn a_paste_of_several_lines_says_them_as_they_are() {
    let mut chat = Chat::new();
    chat.model.editor.insert("see: ");
    chat.model.paste("one\r\n/quit\n\n  three\nlast", &chat.wire);
    assert_eq!(chat.wire.texts(), ["see: one", "/quit", "  three"]);
    assert!(!chat.model.is_leaving);
    chat.model.submit(&chat.wire);
    assert_eq!(chat.wire.texts()[3], "last");
}

// ---- hearing ------------------------------------------------------------------------------

#[test]
fn a_name_that_comes_late_is_put_in() {
    let mut chat = Chat::new();
    let (room, message) = (chat.room(), chat.message(BOB, None, "hi"));
    chat.hear(Event::Message(message));
    assert!(matches!(chat.last(), What::Said { name: None, .. }));
    chat.hear(Event::Named { room, member: BOB, name: "bob".into() });
    assert!(matches!(chat.last(), What::Said { name: Some(name), .. } if name == "bob"));
}

#[test]
fn what_cannot_be_opened_is_counted_in_one_line() {
    let mut chat = Chat::new();
    let room = chat.room();
    (1..=3).for_each(|seq| chat.hear(Event::Undecryptable { room, seq: Seq(seq), member: BOB }));
    assert_eq!(chat.last(), &What::Unreadable(3));
    chat.says(BOB, "bob", "hi");
    chat.hear(Event::Undecryptable { room, seq: Seq(9), member: BOB });
    assert_eq!(chat.last(), &What::Unreadable(1));
}

#[test]
fn names_and_texts_are_made_harmless() {
    let mut chat = Chat::new();
    chat.says(BOB, "b\u{202E}ob", "\u{1b}[2J");
    let What::Said { name: Some(name), text, .. } = chat.last() else { panic!("{:?}", chat.last()) };
    assert_eq!((name.as_str(), text.as_str()), ("b<U+202E>ob", "␛[2J"));
}

#[test]
fn the_relay_and_programs_are_told_from_people() {
    let mut chat = Chat::new();
    let message = chat.message(MemberId(0), None, "[relay] goodbye");
    chat.hear(Event::Message(message));
    chat.notices("[relay] goodbye");
    let message = Message { kind: EntryKind(40), ..chat.message(BOB, Some("bob"), "\u{1}") };
    chat.hear(Event::Message(message));
    chat.notices("bob sent something that is not text (kind 40)");
}

#[test]
fn what_is_not_looked_at_is_counted() {
    let mut chat = Chat::new();
    let lobby = chat.room();
    chat.types("/join den");
    let message = Message { room: lobby, ..chat.message(BOB, Some("bob"), "hi") };
    chat.hear(Event::Message(message.clone()));
    chat.hear(Event::Message(Message { history: true, ..message }));
    assert_eq!((chat.model.tabs[0].unread, chat.model.tabs[1].unread), (1, 0));
    chat.model.turn(1);
    chat.model.look();
    assert_eq!(chat.model.tabs[0].unread, 0);
}

// ---- who is here ----------------------------------------------------------------------------

#[test]
fn who_comes_and_goes_is_told() {
    let mut chat = Chat::new();
    assert_eq!(chat.model.tab().unwrap().members.names(), ["amy", "bob", "cyd"]);
    chat.does(MemberId(4), "dan", Change::Joined);
    chat.notices("dan is here");
    chat.does(BOB, "rob", Change::Renamed);
    chat.notices("bob is called rob now");
    chat.does(CYD, "cyd", Change::Left { code: Code::Idle });
    chat.notices("cyd has left: silent for too long");
    assert_eq!(chat.model.tab().unwrap().members.names(), ["amy", "dan", "rob"]);
    let lines = chat.lines();
    chat.does(BOB, "rob", Change::Renamed);
    assert_eq!(chat.lines(), lines, "a name told again is no news");
}

#[test]
fn a_number_that_the_list_does_not_bear_out_asks_again() {
    let mut chat = Chat::new();
    let (room, asked) = (chat.room(), chat.wire.requests.borrow().len());
    chat.hear(Event::Population { room, members: 3 });
    assert_eq!(chat.wire.requests.borrow().len(), asked);
    chat.hear(Event::Population { room, members: 2 });
    chat.hear(Event::Population { room, members: 2 });
    assert_eq!(chat.wire.requests.borrow().len(), asked + 1);
    chat.lists(&[(ME, "amy"), (BOB, "bob")]);
    assert_eq!(chat.model.tab().unwrap().members.names(), ["amy", "bob"]);
    chat.hear(Event::Population { room, members: 5000 });
    assert_eq!(chat.wire.requests.borrow().len(), asked + 1, "nobody wants so many names");
}

#[test]
fn another_name_than_the_wanted_one_is_told() {
    let mut chat = Chat::new();
    let room = chat.room();
    chat.hear(Event::Joined { room, name: "amy#2".into(), members: 3, first: Seq(10), head: Seq(9) });
    chat.notices("you are amy#2");
    assert_eq!(chat.model.name, "amy#2");
}

#[test]
fn who_is_alone_in_a_sealed_room_is_told_what_that_may_mean() {
    let spec = RoomSpec::sealed("den", RoomKey::from_secret("den", &[7; 32]));
    Chat::alone_in(spec.clone(), 1).notices("nobody else is here with this passphrase");
    Chat::alone_in(spec, 2).notices("2 are here");
}

// ---- commands ---------------------------------------------------------------------------------

#[test]
fn a_private_message_has_an_outcome() {
    let outcomes = [
        (DirectOutcome::Answered(DirectStatus::Delivered), "delivered"),
        (DirectOutcome::Answered(DirectStatus::NoSuch), "no such member"),
        (DirectOutcome::NotConfirmed, "not confirmed"),
    ];
    let mut chat = Chat::new();
    for (at, (outcome, hint)) in outcomes.into_iter().enumerate() {
        chat.types("/msg bob hi");
        assert!(matches!(chat.last(), What::PrivateTo { delivery: Delivery::Sending, .. }));
        let ticket = chat.wire.ticket(at);
        chat.hear(Event::DirectDone { ticket, to: BOB, outcome });
        match chat.last() {
            What::PrivateTo { delivery: Delivery::Delivered, .. } => assert_eq!(hint, "delivered"),
            What::PrivateTo { delivery: Delivery::Failed(why), .. } => assert!(why.contains(hint), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(chat.wire.alone.borrow().iter().all(|said| *said == (BOB, "hi".to_owned())));
}

#[test]
fn a_name_that_is_not_known_is_asked_for() {
    let mut chat = Chat::new();
    chat.types("/msg dan hi");
    chat.lists(&[(ME, "amy"), (MemberId(4), "dan")]);
    assert_eq!(*chat.wire.alone.borrow(), [(MemberId(4), "hi".to_owned())]);
    let ticket = chat.wire.ticket(0);
    let outcome = DirectOutcome::Answered(DirectStatus::Delivered);
    chat.hear(Event::DirectDone { ticket, to: MemberId(4), outcome });
    chat.types("/msg nobody hi");
    chat.lists(&[(ME, "amy")]);
    chat.notices("no such name here: nobody");
    assert!(chat.model.has_failed && !chat.model.is_asking());
}

#[test]
fn rooms_are_joined_shown_and_left() {
    let mut chat = Chat::new();
    chat.types("/leave");
    chat.notices("your only room");
    chat.types("/join den");
    assert_eq!((chat.model.tabs.len(), chat.model.current), (2, 1));
    chat.types("/join lobby");
    assert_eq!((chat.model.tabs.len(), chat.model.current), (2, 0));
    chat.model.turn_back();
    chat.types("/leave");
    assert_eq!((chat.model.tabs.len(), chat.model.current), (1, 0));
}

#[test]
fn a_room_that_lets_nobody_in_says_why() {
    let mut chat = Chat::new();
    chat.types("/join den");
    let den = chat.room();
    chat.hear(Event::JoinFailed { room: den, code: Code::Full });
    chat.notices("cannot join den: it is full");
    let lobby = chat.room();
    chat.hear(Event::JoinFailed { room: lobby, code: Code::Limit });
    assert!(matches!(Ending::of(&chat.model), Some(Ending::Refused(why)) if why.contains("limit")));
}

#[test]
fn lists_are_shown() {
    let mut chat = Chat::new();
    chat.types("/rooms");
    let request = chat.wire.request();
    chat.hear(Event::Room { request, members: 3, name: "lobby".into() });
    chat.hear(Event::Room { request, members: 1, name: "den".into() });
    chat.hear(Event::ListEnd { request, complete: true });
    chat.notices("rooms: lobby (3), den (1)");
    chat.types("/who");
    chat.lists(&[(ME, "amy"), (BOB, "bob")]);
    chat.notices("2 here: amy, bob");
    chat.types("/who");
    let request = chat.wire.request();
    chat.hear(Event::ListEnd { request, complete: false });
    chat.notices("has not answered");
}

#[test]
fn a_name_is_taken_or_it_says_why_not() {
    let mut chat = Chat::new();
    chat.types("/nick [relay] x");
    chat.notices("does not begin with");
    chat.types("/nick bob");
    let request = chat.wire.request();
    chat.hear(Event::Nick { request, code: Some(Code::Taken) });
    chat.notices("bob is taken: choose another name");
    chat.types("/nick ann");
    let request = chat.wire.request();
    chat.hear(Event::Nick { request, code: Some(Code::Ok) });
    chat.notices("you are ann");
    chat.does(ME, "ann", Change::Renamed);
    assert_eq!(chat.model.name, "ann");
}

#[test]
fn who_is_ignored_is_not_heard_under_another_name_either() {
    let mut chat = Chat::new();
    chat.types("/ignore bob");
    let lines = chat.lines();
    chat.says(BOB, "bob", "hi");
    chat.says_alone(BOB, "bob", "psst");
    assert_eq!(chat.lines(), lines);
    chat.does(BOB, "rob", Change::Renamed);
    let lines = chat.lines();
    chat.says(BOB, "rob", "hi");
    assert_eq!(chat.lines(), lines);
    chat.types("/ignore");
    chat.notices("hidden: bob, rob");
    chat.types("/ignore rob");
    chat.types("/ignore bob");
    chat.says(BOB, "rob", "hello?");
    assert!(matches!(chat.last(), What::Said { text, .. } if text == "hello?"));
}

#[test]
fn help_shows_all_and_a_wrong_command_says_so() {
    let mut chat = Chat::new();
    chat.types("/help");
    chat.notices("PageUp");
    chat.types("/jion den");
    chat.notices("/jion is no command");
    chat.types("//jion");
    assert_eq!(chat.wire.texts(), ["/jion"]);
    chat.types("/quit");
    assert_eq!(Ending::of(&chat.model), Some(Ending::Done));
}

// ---- the connection -----------------------------------------------------------------------------

#[test]
fn lines_typed_while_the_relay_is_away_stay_sending() {
    let mut chat = Chat::new();
    chat.hear(Event::Reconnecting { why: Lost::Silent });
    assert_eq!(chat.model.standing, Standing::Away("the relay does not answer".to_owned()));
    chat.types("are you there?");
    assert_eq!(chat.last(), &own("are you there?", Delivery::Sending));
    let retry = Duration::from_millis(2500);
    chat.hear(Event::Refused { code: Code::Full, retry });
    assert_eq!(chat.model.standing, Standing::Away("the relay is full: retry in 3 s".to_owned()));
    chat.hear(Event::Connected { member: ME, epoch: Epoch(1), resumed: true });
    assert_eq!((chat.model.standing.clone(), chat.model.waiting()), (Standing::Connected, 1));
    chat.hear(Event::Connected { member: ME, epoch: Epoch(2), resumed: false });
    assert!(chat.model.tab().unwrap().members.names().is_empty());
}

#[test]
fn being_slowed_down_is_shown_until_it_goes_on() {
    let mut chat = Chat::new();
    let room = chat.room();
    chat.types("hi");
    chat.hear(Event::Slow { room, cause: SlowCause::Messages, retry: Duration::from_millis(300) });
    assert_eq!(chat.model.slow.as_deref(), Some("too many messages a second: goes on in 1 s"));
    let ticket = chat.wire.ticket(0);
    chat.hear(Event::Delivered { ticket, room, seq: None });
    assert_eq!(chat.model.slow, None);
}

#[test]
fn the_end_says_why() {
    let mut chat = Chat::new();
    chat.hear(Event::Closed { why: End::Code(Code::Kicked), reason: "be nice".into() });
    let ending = Ending::of(&chat.model);
    assert!(
        matches!(&ending, Some(Ending::Failed(why)) if why.contains("removed by the operator (be nice)")),
        "{ending:?}"
    );
}

#[test]
fn each_refusal_has_a_sentence_of_its_own() {
    use crate::cli::chat::words::refused;
    let codes = [Code::Protocol, Code::Access, Code::Full, Code::Limit, Code::Rate, Code::Kicked, Code::Banned];
    let mut told: Vec<String> = codes.into_iter().map(refused).collect();
    assert!(told[0].contains("--name") && told[1].contains("--access-key-file"));
    told.sort();
    told.dedup();
    assert_eq!(told.len(), codes.len());
}
