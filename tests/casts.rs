//! Casts to numbered rooms: whatever is cast, every member is sent exactly what
//! its roster is owed, in order, however the flush is cut into pieces.

use outcry::batch::{Audience, Item, Outbox, Path, RoomIndex, Roster, Rosters, SendTally};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Rooms with members that are numbered through.
struct Rooms {
    plain: Roster,
    rooms: Vec<[Roster; 2]>,
}

impl Rosters for Rooms {
    fn plain(&self) -> &Roster {
        &self.plain
    }

    fn live(&self, room: RoomIndex) -> &Roster {
        &self.rooms[usize::from(room.0)][0]
    }

    fn fed(&self, room: RoomIndex) -> &Roster {
        &self.rooms[usize::from(room.0)][1]
    }
}

fn rooms(sizes: &[(usize, usize)]) -> Rooms {
    let mut ports = 1u16..;
    let mut roster = |count: usize| {
        let mut roster = Roster::default();
        for port in ports.by_ref().take(count) {
            roster.push(Path::to(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        roster
    };
    let rooms = sizes.iter().map(|&(live, fed)| [roster(live), roster(fed)]).collect();
    Rooms { plain: Roster::default(), rooms }
}

/// A cast: its room, whether it is for everyone, and the lengths of its datagrams.
type Cast = (usize, bool, Vec<u16>);

fn cast(rooms: usize) -> impl Strategy<Value = Cast> {
    (0..rooms, any::<bool>(), proptest::collection::vec(1u16..=1232, 1..=44))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everyone_is_sent_what_it_is_owed(
        sizes in proptest::collection::vec((0usize..90, 0usize..5), 4),
        turns in proptest::collection::vec(proptest::collection::vec(cast(4), 0..20), 1..4),
        capacity in 65usize..300,
    ) {
        let rooms = rooms(&sizes);
        let (mut out, mut tally) = (Outbox::new(256, 1232), SendTally::default());
        for casts in &turns {
            let mut owed: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
            let mut space = vec![0xEE; 44 * 1232];
            for (number, (room, everyone, lens)) in casts.iter().enumerate() {
                let longest = usize::from(*lens.iter().max().expect("some"));
                let mut padded = Vec::new();
                for (segment, len) in lens.iter().enumerate() {
                    let datagram = &mut space[segment * 1232..][..usize::from(*len)];
                    datagram.fill(1 + (number * 50 + segment) as u8 % 200);
                    let mut bytes = datagram.to_vec();
                    bytes.resize(longest, 0);
                    padded.push(bytes);
                }
                let (index, audience) = (RoomIndex(*room as u16), if *everyone { Audience::Everyone } else { Audience::Live });
                out.cast(index, audience, (&space, 1232), lens, 1);
                let fed = rooms.fed(index).paths().iter().filter(|_| *everyone);
                for path in rooms.live(index).paths().iter().chain(fed) {
                    owed.entry(path.remote).or_default().extend(padded.iter().cloned());
                }
            }
            let (mut items, mut sent): (Vec<Item>, BTreeMap<SocketAddr, Vec<Vec<u8>>>) = (Vec::with_capacity(capacity), BTreeMap::new());
            out.begin(&rooms, &mut tally);
            let mut more = true;
            while more {
                more = out.fill(&rooms, &mut items);
                for item in items.drain(..).flat_map(Item::split) {
                    tally.sent += 1;
                    sent.entry(item.to.remote).or_default().push(out.arena()[item.range()].to_vec());
                }
            }
            prop_assert!(sent == owed && tally.balances(), "{:?}", tally);
            out.clear();
        }
    }
}
