//! Operations on a relay: whatever strangers, members and the operator do, in
//! whatever order, the books balance, sizes hold, everyone sees the same
//! entries, and in the end nothing is left.

use super::world::{Going, Input, World, limits, place, text};
use outcry::batch::Path;
use outcry::config::{ALTERNATE_BYTES_MAX, Limits};
use outcry::relay::{Ban, Command, Target};
use outcry::wire::header::{DATAGRAM_BYTES_MAX, HELLO_BYTES_MIN, Kind, Malformed, SESSION_BYTES_MIN};
use std::time::Duration;

/// How it ends, limits, then operations until the input ends.
pub fn relay(input: &[u8]) {
    let mut input = Input::new(input);
    let Ok((ending, limits)) = beginning(&mut input) else { return };
    let mut world = World::new(limits);
    while operation(&mut world, &mut input).is_ok() {}
    if ending & 1 == 0 { world.end() } else { world.shut_down() }
}

fn beginning(input: &mut Input<'_>) -> Result<(u8, Limits), Malformed> {
    Ok((input.u8()?, limits(input)?))
}

fn operation(world: &mut World, input: &mut Input<'_>) -> Going {
    let [what, who] = input.array()?;
    match what % 16 {
        0 => world.wait(u64::from(who)),
        1 => world.wait(1_000 * u64::from(who)),
        2 => world.wait(50 * u64::from(who)),
        3 => world.settle(),
        4 | 5 => return datagram(world, who, input),
        6 => return frames(world, who, input),
        7 => return again(world, who, input),
        8 => {
            let remote = place(who);
            let now = world.bench.now;
            world.alone(|bench| bench.relay.handle_unreachable(now, remote, &mut bench.out));
        }
        9 => {
            let now = world.bench.now;
            world.alone(|bench| bench.relay.handle_truncated(now, Path::to(place(who)), &mut bench.out));
        }
        10 => return command(world, who, input),
        11 => world.renew(who),
        12 => {
            let member = world.member(who);
            (member.mute, member.deaf) = (who & 64 != 0, who & 128 != 0);
        }
        _ => return world.act(who, input),
    }
    Ok(())
}

/// Any bytes from any address, made as long as a HELLO if it is wanted.
fn datagram(world: &mut World, who: u8, input: &mut Input<'_>) -> Going {
    let len = input.u8()?;
    let mut bytes = input.slice(len.into())?.to_vec();
    if who & 128 != 0 {
        bytes.resize(HELLO_BYTES_MIN, 0);
    }
    world.hear(place(who), &bytes);
    Ok(())
}

/// Any frames from a client's session, from its address or another.
fn frames(world: &mut World, who: u8, input: &mut Input<'_>) -> Going {
    let member = world.member(who);
    let from = if who & 128 == 0 { member.at } else { place(who >> 3) };
    member.pn = member.pn.next();
    let mut bytes = Kind::Session.prefix().to_vec();
    bytes.extend(member.scid.0.to_le_bytes());
    bytes.extend(member.pn.0.to_le_bytes());
    push_frames(&mut bytes, input)?;
    bytes.resize(bytes.len().max(SESSION_BYTES_MIN), 0);
    world.hear(from, &bytes);
    Ok(())
}

/// Appends frames of any types and bodies of up to 255 bytes, as many as the input says.
pub(super) fn push_frames(bytes: &mut Vec<u8>, input: &mut Input<'_>) -> Going {
    for _ in 0..=input.u8()? % 4 {
        let [kind, len] = input.array()?;
        let body = input.slice(len.into())?;
        if bytes.len() + 3 + body.len() <= DATAGRAM_BYTES_MAX {
            bytes.extend([kind, len, 0]);
            bytes.extend(body);
        }
    }
    Ok(())
}

/// A client's last datagram once more, with a byte changed, from its address or another.
fn again(world: &mut World, who: u8, input: &mut Input<'_>) -> Going {
    let [at, change] = input.array()?;
    let member = world.member(who);
    let from = if who & 128 == 0 { member.at } else { place(who >> 3) };
    let mut bytes = member.last.clone();
    bytes.iter_mut().skip(at.into()).take(1).for_each(|byte| *byte ^= change);
    world.hear(from, &bytes);
    Ok(())
}

fn command(world: &mut World, who: u8, input: &mut Input<'_>) -> Going {
    let what = input.u8()?;
    let target = if what & 128 == 0 { Target::Address(place(who)) } else { Target::Name(text(input)?) };
    let command = match what % 16 {
        0 => Command::Say(text(input)?),
        1 => Command::To(target, text(input)?),
        2 => Command::Kick(target),
        3 => Command::Mute(target),
        4 => Command::Unmute(target),
        5 => {
            let until = world.bench.now + Duration::from_secs(who.into());
            let until_unix_s = (who & 1 == 0).then_some(until.unix_s());
            match text(input)?.parse() {
                Ok(target) => Command::Ban(Ban { target, until_unix_s }),
                Err(_) => return Ok(()),
            }
        }
        6 => match text(input)?.parse() {
            Ok(target) => Command::Unban(target),
            Err(_) => return Ok(()),
        },
        7 => Command::Lockdown(who & 1 != 0),
        8 => {
            let to = text(input)?;
            // Whoever gives the command has looked at it.
            let is_fit = !to.is_empty() && to.len() <= ALTERNATE_BYTES_MAX && !to.contains(char::is_control);
            Command::Drain(is_fit.then(|| to.into()))
        }
        9 => {
            let wanted = limits(input)?;
            world.limits = world.limits.changed_to(&wanted);
            Command::Reconfigure(Box::new(wanted))
        }
        10 => {
            world.restore(place(who), &text(input)?);
            return Ok(());
        }
        _ => return Ok(()),
    };
    world.alone(|bench| _ = bench.relay.handle_command(bench.now, command, &mut bench.out));
    Ok(())
}
