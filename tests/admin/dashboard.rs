//! The page for people, in a browser without a screen: its numbers are those
//! of `/api/stats`, and it asks nobody else for anything.

use crate::process::{HANG, skip, until};
use crate::room::Member;
use crate::web::Watched;
use outcry::blocking::Connection;
use outcry::client::{Event, Options, RoomSpec};
use outcry::metrics::human_nanos;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// The page as it is after some polls; `None`: no browser here.
fn shown(url: &str) -> Option<String> {
    static PROFILES: AtomicU32 = AtomicU32::new(0);
    let name = format!("chromium-{}-{}", std::process::id(), PROFILES.fetch_add(1, Relaxed));
    let profile = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|program| {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    })?;
    let mut browser = Command::new(program);
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    browser.args(["--window-size=390,844", "--virtual-time-budget=6000", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", profile.display())).arg(url);
    let output = browser.stdin(Stdio::null()).output().unwrap();
    _ = std::fs::remove_dir_all(profile);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The text of the element of that id.
#[track_caller]
fn field<'a>(page: &'a str, id: &str) -> &'a str {
    let behind = page.split(&format!("id=\"{id}\"")).nth(1).unwrap_or_else(|| panic!("no {id} in {page}"));
    behind.split_once('>').unwrap().1.split('<').next().unwrap()
}

fn number(page: &str, id: &str) -> u64 {
    field(page, id).replace(',', "").parse().unwrap_or_else(|_| panic!("{id} is {:?}", field(page, id)))
}

/// Fields that count, with where they come from.
const COUNTS: [(&str, &str); 13] = [
    ("members", "/members/total"),
    ("members-plain", "/members/plain"),
    ("members-native", "/members/native"),
    ("messages", "/messages/total"),
    ("messages-plain", "/messages/plain"),
    ("messages-native", "/messages/native"),
    ("copies", "/copies/sent"),
    ("copies-plain", "/copies/offered_to/plain"),
    ("copies-native", "/copies/offered_to/native"),
    ("copies-single", "/copies/offered_to/single"),
    ("dropped", "/drops_total"),
    ("unsent", "/copies/dropped_total"),
    ("kernel", "/kernel_drops"),
];
const SHAPES: [(&str, &str); 6] = [
    ("turn-p50", "/turn_messages/p50"),
    ("turn-p99", "/turn_messages/p99"),
    ("turn-max", "/turn_messages/max"),
    ("train-p50", "/train_messages/p50"),
    ("train-p99", "/train_messages/p99"),
    ("train-max", "/train_messages/max"),
];

fn of(stats: &Value, place: &str) -> u64 {
    stats.pointer(place).and_then(Value::as_u64).unwrap_or_else(|| panic!("{place} in {stats}"))
}

#[test]
fn the_pages_numbers_are_those_of_the_stats() {
    let watched = Watched::start();
    let names = ["alice", "<b>bob</b>", "carol"];
    let members: Vec<_> = names.iter().map(|name| Member::joins(watched.relay.addr, name)).collect();
    watched.relay.holds(3);
    let url = format!("http://{}/", watched.addr);
    let done = AtomicBool::new(false);
    let before = watched.fetch("/api/stats").json();
    let page = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                members[0].says("alice : a line");
                members[1].says("a control character \u{1}");
                members.iter().for_each(|member| drop(member.has_heard()));
                thread::sleep(Duration::from_millis(2));
            }
        });
        until("some load", || (of(&watched.fetch("/api/stats").json(), "/messages/total") > 10).then_some(()));
        let page = shown(&url);
        done.store(true, Relaxed);
        page
    });
    let Some(page) = page else { return skip("the dashboard in a browser: no chromium here") };
    let after = until("the load's end", || {
        let [one, two] = [(); 2].map(|()| {
            thread::sleep(Duration::from_millis(100));
            watched.fetch("/api/stats").json()
        });
        (one["datagrams_in"] == two["datagrams_in"]).then_some(two)
    });
    // Under load: between what was before and what was behind it.
    for (id, place) in COUNTS {
        let range = of(&before, place)..=of(&after, place);
        assert!(range.contains(&number(&page, id)), "{id} is {}, not in {range:?}", number(&page, id));
    }
    assert!(number(&page, "messages") > 10 && number(&page, "dropped") > 10);
    // At rest: the same.
    let page = shown(&url).unwrap();
    assert!(field(&page, "state").starts_with("up "), "{}", field(&page, "state"));
    for (id, place) in COUNTS.into_iter().chain(SHAPES) {
        assert_eq!(number(&page, id), of(&after, place), "{id}");
    }
    for (id, place) in [("p50", "p50"), ("p99", "p99"), ("p999", "p999"), ("max", "max")] {
        assert_eq!(field(&page, id), human_nanos(of(&after, &format!("/sojourn_ns/{place}"))), "{id}");
    }
    let rows =
        |id: &str| page.split(&format!("id=\"{id}\"")).nth(1).unwrap().split("</tbody>").next().unwrap().to_owned();
    assert!(rows("drops").contains("<td>control_character</td>"), "{}", rows("drops"));
    assert!(rows("talkers").contains("<td>alice</td>"), "{}", rows("talkers"));
}

/// Bob is in the room and reads nothing; then he does again.
#[test]
fn a_member_that_does_not_read_is_shown_until_it_has_caught_up() {
    const SAID: u64 = 100;
    let watched = Watched::start();
    let addr = watched.relay.addr.to_string();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| Connection::open(&addr, Options::new(name)).unwrap());
    let lobby = alice.join(RoomSpec::lobby()).unwrap();
    for connection in [&mut alice, &mut bob] {
        _ = connection.join(RoomSpec::lobby());
        while !matches!(connection.receive(HANG).unwrap(), Some(Event::Joined { .. })) {}
    }
    for _ in 0..SAID {
        alice.send(lobby, &[b'x'; 1000]).unwrap();
    }
    let mut said = 0;
    // Only who reports what it has is live; alice does.
    let slow = until("bob to be slow", || {
        while let Some(event) = alice.receive(Duration::from_millis(20)).unwrap() {
            said += u64::from(matches!(event, Event::Delivered { .. }));
        }
        let slow = watched.fetch("/api/slow").json();
        (slow["total"] == 1 && said == SAID).then_some(slow)
    });
    let room = watched.fetch("/api/rooms").json()["rooms"][0].clone();
    assert_eq!((room["slow"].as_u64(), room["members"].as_u64()), (Some(1), Some(2)), "{room}");
    // What alice said, and his own coming, of which he has not said that he knows it.
    let (row, behind) = (&slow["slow"][0], SAID + 1);
    assert_eq!((row["name"].as_str(), row["room"].as_str()), (Some("bob"), Some("lobby")), "{slow}");
    assert_eq!((row["behind"].as_u64(), row["lost"].as_u64()), (Some(behind), Some(0)), "{slow}");
    let peers = watched.fetch("/api/peers").json();
    let is_bob = |peer: &&Value| peer["name"] == "bob";
    assert_eq!(row["address"], peers["peers"].as_array().unwrap().iter().find(is_bob).unwrap()["address"]);
    if let Some(page) = shown(&format!("http://{}/", watched.addr)) {
        let shown = page.split("id=\"slow\"").nth(1).unwrap().split("</tbody>").next().unwrap();
        assert!(shown.contains("<td>bob</td>") && shown.contains(&format!("<td>{behind}</td>")), "{shown}");
    } else {
        skip("a slow member in a browser: no chromium here");
    }
    let mut heard = 0;
    until("bob to have caught up", || {
        while let Some(event) = bob.receive(Duration::from_millis(20)).unwrap() {
            assert!(!matches!(event, Event::Gap { .. }), "the ring holds all of it");
            heard += u64::from(matches!(event, Event::Message(_)));
        }
        (heard == SAID && watched.fetch("/api/slow").json()["total"] == 0).then_some(())
    });
    assert_eq!(watched.fetch("/api/rooms").json()["rooms"][0]["slow"], 0);
}

#[test]
fn a_name_is_text_on_the_page_and_nothing_else() {
    let watched = Watched::start();
    let member = Member::joins(watched.relay.addr, "<img src=x>");
    watched.relay.holds(1);
    member.says("<img src=x> : hi");
    watched.relay.until("the line", |report| report.counters.relayed == 1);
    let Some(page) = shown(&format!("http://{}/", watched.addr)) else {
        return skip("a name in a browser: no chromium here");
    };
    assert!(page.contains("<td>&lt;img src=x&gt;</td>"), "{page}");
}

#[test]
fn the_page_is_one_file_that_asks_nobody_else() {
    let watched = Watched::start();
    let [first, second] = [(); 2].map(|()| watched.fetch("/"));
    let nonce = |answer: &crate::web::Answer| {
        let policy = answer.header("content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
        policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned()
    };
    assert_ne!(nonce(&first), nonce(&second));
    assert_eq!(first.body.matches(&format!("nonce=\"{}\"", nonce(&first))).count(), 2);
    assert!(!first.body.contains("{{") && first.header("content-type").starts_with("text/html"));
    for elsewhere in ["http://", "https://", "src=", "@import", "url(", "innerHTML"] {
        assert!(!first.body.contains(elsewhere), "{elsewhere}");
    }
}
