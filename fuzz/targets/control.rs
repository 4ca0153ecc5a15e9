//! What the kernel says beside a datagram: any bytes are read to an end, and
//! what was read, laid out anew as cmsg(3) has it, is read again the same.

/// A claimed length of two bytes, then control messages.
#[cfg(target_os = "linux")]
pub fn control(input: &[u8]) {
    /// `size_t`, two `int`s.
    const HEADER: usize = size_of::<usize>() + 8;
    /// Bytes that are looked at.
    const BYTES: usize = 256;
    let Some((len, bytes)) = input.split_first_chunk() else { return };
    let len = usize::from(u16::from_le_bytes(*len));
    let said = outcry::net::said(bytes, len);
    let mut again = Vec::new();
    for (level, kind, data) in &said.messages {
        again.extend((HEADER + data.len()).to_ne_bytes());
        again.extend(level.to_ne_bytes());
        again.extend(kind.to_ne_bytes());
        again.extend(data);
        again.resize(again.len().next_multiple_of(size_of::<usize>()), 0);
    }
    assert!(again.len() <= len.min(BYTES).next_multiple_of(size_of::<usize>()), "more than was there: {said:?}");
    assert_eq!(outcry::net::said(&again, again.len()), said);
    assert_eq!(outcry::net::said(&again, usize::MAX).messages[..said.messages.len()], said.messages);
    assert!(said.local.is_none_or(|ip| ip == ip.to_canonical()), "one name a host");
}

/// Other systems have none of that.
#[cfg(not(target_os = "linux"))]
pub fn control(_: &[u8]) {}
