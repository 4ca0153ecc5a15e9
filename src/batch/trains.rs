//! Owns the grouping of a turn's messages into trains: messages of one length,
//! contiguous in memory, that one send hands to the kernel as equal segments
//! (UDP GSO). Never reorders what one speaker said.

/// Segments in one train at most: the kernel's limit before Linux 6.9.
pub(super) const SEGMENTS_MAX: u16 = 64;
/// Bytes in one train at most: the largest UDP payload over IPv4.
pub(super) const TRAIN_BYTES_MAX: usize = 65_507;
/// Segments a new train gets room for. What follows in memory may stop it
/// from growing further; 16 already costs little more a copy than 32 or 64.
const SEGMENTS_RESERVED: u16 = 16;

/// Equal-length messages, one after the other in the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Train {
    pub(super) start: u32,
    pub(super) segment_len: u16,
    pub(super) segments: u16,
    reserved: u16,
}

impl Train {
    /// Where segment `segment` begins in the arena.
    pub(super) fn segment_start(&self, segment: u16) -> u32 {
        self.start + u32::from(segment) * u32::from(self.segment_len)
    }

    fn reserved_end(&self) -> usize {
        self.segment_start(self.reserved) as usize
    }
}

/// Where a message was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) train: u16,
    pub(super) segment: u16,
}

/// All trains of one turn, in sending order, laid out in an arena whose bytes
/// somebody else owns.
pub(super) struct Trains {
    trains: Vec<Train>,
    /// End of what is reserved in the arena.
    used: usize,
}

impl Trains {
    pub(super) fn new(trains_max: usize) -> Self {
        Self { trains: Vec::with_capacity(trains_max), used: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.trains.clear();
        self.used = 0;
    }

    pub(super) fn as_slice(&self) -> &[Train] {
        &self.trains
    }

    /// Finds a seat for a message of `len` bytes in train `first` or a later
    /// one. `spare` is what a new train may reserve beyond the message itself.
    pub(super) fn seat(&mut self, len: usize, first: u16, spare: usize) -> Seat {
        let open = (usize::from(first)..self.trains.len()).find(|&at| self.accepts(at, len));
        let at = open.unwrap_or_else(|| self.open(len, spare));
        let train = &mut self.trains[at];
        let segment = train.segments;
        train.segments += 1;
        if train.segments > train.reserved {
            train.reserved = train.segments;
            self.used = train.reserved_end();
        }
        Seat { train: u16::try_from(at).expect("invariant: trains_max fits in u16"), segment }
    }

    fn accepts(&self, at: usize, len: usize) -> bool {
        let train = &self.trains[at];
        let next = train.segments + 1;
        usize::from(train.segment_len) == len
            && next <= SEGMENTS_MAX
            && usize::from(next) * len <= TRAIN_BYTES_MAX
            && (next <= train.reserved || train.reserved_end() == self.used)
    }

    fn open(&mut self, len: usize, spare: usize) -> usize {
        let segment_len = u16::try_from(len).expect("invariant: a message is shorter than 64 KiB");
        let wanted = SEGMENTS_RESERVED.min(u16::try_from(TRAIN_BYTES_MAX / len).unwrap_or(SEGMENTS_RESERVED)).max(1);
        let reserved = if usize::from(wanted - 1) * len <= spare { wanted } else { 1 };
        let start = u32::try_from(self.used).expect("invariant: an arena is smaller than 4 GiB");
        let train = Train { start, segment_len, segments: 0, reserved };
        self.used = train.reserved_end();
        self.trains.push(train);
        self.trains.len() - 1
    }

    /// The last train's number, 0 when there is none.
    pub(super) fn last(&self) -> u16 {
        u16::try_from(self.trains.len().saturating_sub(1)).expect("invariant: trains_max fits in u16")
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}
