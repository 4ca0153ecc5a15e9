//! A client between its program and a relay that says anything at all: true
//! answers come late, twice, changed or never, and others come that nobody
//! gave. It never panics, never spins, and keeps its promises.

use super::relay::push_frames;
use super::world::{Going, Input, Member, World, limits, place};
use outcry::client::Code;
use outcry::relay::{Command, Target};
use outcry::wire::handshake::{Cookie, NoSession, OtherVersion, Refuse, Retry, Welcome};
use outcry::wire::header::{Kind, Malformed};
use outcry::wire::id::{Epoch, MemberId, Nonce};

/// The client that is lied to; number 1 lives an honest life beside it.
const VICTIM: u8 = 0;
/// Datagrams that can come again.
const PAST_MAX: usize = 64;

/// Operations until the input ends.
pub fn client(input: &[u8]) {
    let Ok(limits) = limits(&mut Input::new(&[0, 3, 0])) else { unreachable!("there are three bytes") };
    let mut world = World::new(limits);
    let (mut input, mut past) = (Input::new(input), Vec::new());
    while operation(&mut world, &mut past, &mut input).is_ok() {}
    world.end();
}

fn operation(world: &mut World, past: &mut Vec<Vec<u8>>, input: &mut Input<'_>) -> Going {
    let [what, which] = input.array()?;
    match what % 20 {
        0 => world.wait(which.into()),
        1 => world.wait(1_000 * u64::from(which)),
        2 => world.wait(50 * u64::from(which)),
        3 => {
            let member = world.member(VICTIM);
            (member.mute, member.waits, member.unread) = (which & 1 != 0, which & 2 != 0, which & 4 != 0);
        }
        // True answers: some, one changed, one lost, one from before.
        4 => {
            for _ in 0..=which {
                let Some(bytes) = world.member(VICTIM).post.pop_front() else { break };
                past.truncate(PAST_MAX);
                past.insert(0, bytes.clone());
                tell(world, &bytes);
            }
        }
        5 => {
            let change = input.u8()?;
            if let Some(mut bytes) = world.member(VICTIM).post.pop_front() {
                bytes.iter_mut().skip(which.into()).take(1).for_each(|byte| *byte ^= change);
                tell(world, &bytes);
            }
        }
        6 => _ = world.member(VICTIM).post.pop_front(),
        7 => {
            let bytes = past.get(usize::from(which) % past.len().max(1)).cloned();
            bytes.into_iter().for_each(|bytes| tell(world, &bytes));
        }
        // Lies.
        8 => {
            let bytes = input.slice(which.into())?;
            tell(world, bytes);
        }
        9 => {
            let bytes = answer(world.member(VICTIM), which, input)?;
            tell(world, &bytes);
        }
        10 => {
            let (tag, mut bytes) = (world.member(VICTIM).tag, Kind::ToRoom.prefix().to_vec());
            bytes.extend(tag.0.to_le_bytes());
            push_frames(&mut bytes, input)?;
            tell(world, &bytes);
        }
        11 | 12 => {
            let (ccid, mut bytes) = (world.member(VICTIM).ccid, Kind::ToClient.prefix().to_vec());
            bytes.extend(ccid.0.to_le_bytes());
            push_frames(&mut bytes, input)?;
            tell(world, &bytes);
        }
        // What others do.
        13 => return world.act(1, input),
        14 => {
            let text = input.slice(which.into())?;
            world.hear(place(5), text);
            world.settle();
        }
        15 => {
            let at = world.member(VICTIM).at;
            let commands = [Command::Kick(Target::Address(at)), Command::Say("all".into()), Command::Drain(None)];
            let command = commands[usize::from(which) % 3].clone();
            world.alone(|bench| _ = bench.relay.handle_command(bench.now, command, &mut bench.out));
        }
        16 => world.lose_state(which),
        _ => return world.act(VICTIM, input),
    }
    Ok(())
}

fn tell(world: &mut World, bytes: &[u8]) {
    let now = world.bench.now;
    world.member(VICTIM).hear(now, bytes);
    world.settle();
}

/// An answer to the HELLO or the session that is under way, or nearly so.
fn answer(member: &Member, which: u8, input: &mut Input<'_>) -> Result<Vec<u8>, Malformed> {
    let nonce = if which & 128 == 0 { member.nonce } else { Nonce(1) };
    let (ccid, scid) = (member.ccid, member.scid);
    let [a, b, c] = input.array()?;
    let epoch = Epoch(a.into());
    Ok(match which % 8 {
        0 => Retry { ccid, nonce, cookie: Cookie([a; 24]) }.encode().to_vec(),
        1 => NoSession { scid, epoch }.encode().to_vec(),
        2 => Refuse { ccid, nonce, code: Code::from_wire(a.into()), retry_ms: u32::from(b) << 8 }.encode().to_vec(),
        3 => OtherVersion { ccid, versions: [a, b, 0, 0, 0, 0, 0, 0] }.encode().to_vec(),
        _ => Welcome {
            ccid,
            nonce,
            scid: if b & 1 == 0 { scid } else { outcry::wire::id::Scid(b.into()) },
            epoch,
            member: MemberId(c.into()),
            max_dgram: u16::from(c) * 5,
            idle_s: b.into(),
            keepalive_s: c.into(),
            flags: 0,
            msgs_per_s: u32::from(b >> 4),
            bytes_per_s: u32::from(c) << 4,
            window_bytes: u32::from(b) << 6,
        }
        .encode()
        .to_vec(),
    })
}
