use crate::chunk::chunk_payload_data::ChunkPayloadData;
use crate::chunk::chunk_selective_ack::GapAckBlock;
use crate::util::*;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Chunks in TSN order.
///
/// Plait: a deque instead of a hash map beside a list that was sorted anew for every chunk. TSNs of a
/// sender's flight follow one another, so a chunk is found by its distance from the first; where
/// there are gaps (a receiver after loss) it is searched for.
#[derive(Default, Debug)]
pub(crate) struct PayloadQueue {
    chunks: VecDeque<ChunkPayloadData>,
    dup_tsn: Vec<u32>,
    n_bytes: usize,
    /// Chunks with a deadline.
    timed: usize,
    /// Some chunk may be marked for retransmission.
    marked: bool,
}

impl PayloadQueue {
    pub(crate) fn new() -> Self {
        PayloadQueue::default()
    }

    /// Where the chunk is, or where it would be inserted.
    fn find(&self, tsn: u32) -> core::result::Result<usize, usize> {
        let Some(first) = self.chunks.front() else {
            return Err(0);
        };
        if sna32lt(tsn, first.tsn) {
            return Err(0);
        }
        let distance = tsn.wrapping_sub(first.tsn);
        if self.chunks.get(distance as usize).is_some_and(|c| c.tsn == tsn) {
            return Ok(distance as usize);
        }
        let first = first.tsn;
        self.chunks.binary_search_by_key(&distance, |c| c.tsn.wrapping_sub(first))
    }

    pub(crate) fn can_push(&self, p: &ChunkPayloadData, cumulative_tsn: u32) -> bool {
        !(self.find(p.tsn).is_ok() || sna32lte(p.tsn, cumulative_tsn))
    }

    pub(crate) fn push_no_check(&mut self, p: ChunkPayloadData) {
        self.n_bytes += p.user_data.len();
        self.timed += usize::from(p.deadline.is_some());
        match self.find(p.tsn) {
            Ok(index) => {
                let old = core::mem::replace(&mut self.chunks[index], p);
                self.forget(&old);
            }
            Err(index) => self.chunks.insert(index, p),
        }
    }

    fn forget(&mut self, gone: &ChunkPayloadData) {
        self.n_bytes = self.n_bytes.saturating_sub(gone.user_data.len());
        self.timed -= usize::from(gone.deadline.is_some());
    }

    /// push pushes a payload data. If the payload data is already in our queue or
    /// older than our cumulative_tsn marker, it will be recored as duplications,
    /// which can later be retrieved using popDuplicates.
    pub(crate) fn push(&mut self, p: ChunkPayloadData, cumulative_tsn: u32) -> bool {
        if !self.can_push(&p, cumulative_tsn) {
            // Found the packet, log in dups
            self.dup_tsn.push(p.tsn);
            return false;
        }
        self.push_no_check(p);
        true
    }

    /// pop pops only if the oldest chunk's TSN matches the given TSN.
    pub(crate) fn pop(&mut self, tsn: u32) -> Option<ChunkPayloadData> {
        if self.chunks.front()?.tsn != tsn {
            return None;
        }
        let chunk = self.chunks.pop_front()?;
        self.forget(&chunk);
        Some(chunk)
    }

    /// Removes every queued chunk with a TSN at or before `cumulative_tsn`.
    ///
    /// Used when a FORWARD-TSN moves the cumulative TSN point past chunks the
    /// peer abandoned. The cost is proportional to the number of queued chunks,
    /// not to the size of the TSN jump: `cumulative_tsn` comes off the wire and
    /// may be up to 2^31 ahead of the current point.
    pub(crate) fn pop_up_to(&mut self, cumulative_tsn: u32) {
        while self.chunks.front().is_some_and(|c| sna32lte(c.tsn, cumulative_tsn)) {
            if let Some(chunk) = self.chunks.pop_front() {
                self.forget(&chunk);
            }
        }
    }

    /// get returns reference to chunkPayloadData with the given TSN value.
    pub(crate) fn get(&self, tsn: u32) -> Option<&ChunkPayloadData> {
        self.find(tsn).ok().and_then(|index| self.chunks.get(index))
    }

    pub(crate) fn get_mut(&mut self, tsn: u32) -> Option<&mut ChunkPayloadData> {
        self.find(tsn).ok().and_then(|index| self.chunks.get_mut(index))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ChunkPayloadData> {
        self.chunks.iter()
    }

    pub(crate) fn has_timed(&self) -> bool {
        self.timed > 0
    }

    pub(crate) fn has_marked(&self) -> bool {
        self.marked
    }

    pub(crate) fn set_marked(&mut self) {
        self.marked = true;
    }

    pub(crate) fn clear_marked(&mut self) {
        self.marked = false;
    }

    /// Abandon siblings by identity, including nonconsecutive TSNs.
    pub(crate) fn abandon_message(&mut self, message_id: u64) -> usize {
        let mut released = 0;
        for chunk in &mut self.chunks {
            if chunk.message_id == message_id {
                released += chunk.user_data.len();
                chunk.user_data.clear();
                chunk.abandoned = true;
                chunk.retransmit = false;
            }
        }
        self.n_bytes -= released;
        released
    }

    pub(crate) fn mark_all_to_retransmit(&mut self) {
        self.marked = true;
        for chunk in &mut self.chunks {
            if !chunk.acked && !chunk.abandoned {
                chunk.retransmit = true;
            }
        }
    }

    /// popDuplicates returns an array of TSN values that were found duplicate.
    pub(crate) fn pop_duplicates(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.dup_tsn)
    }

    /// Gap offsets are nonzero u16 distances, not wrapping sequence numbers.
    /// Farther TSNs remain queued for reporting once the cumulative TSN advances.
    pub(crate) fn get_gap_ack_blocks(&self, cumulative_tsn: u32) -> Vec<GapAckBlock> {
        let mut gap_ack_blocks: Vec<GapAckBlock> = vec![];
        for tsn in self.chunks.iter().map(|c| c.tsn) {
            let Ok(offset) = u16::try_from(tsn.wrapping_sub(cumulative_tsn)) else {
                continue;
            };
            if offset == 0 {
                continue;
            }

            match gap_ack_blocks.last_mut() {
                Some(block) if block.end.checked_add(1) == Some(offset) => block.end = offset,
                _ => gap_ack_blocks.push(GapAckBlock {
                    start: offset,
                    end: offset,
                }),
            }
        }

        gap_ack_blocks
    }

    pub(crate) fn get_gap_ack_blocks_string(&self, cumulative_tsn: u32) -> String {
        let mut s = format!("cumTSN={}", cumulative_tsn);
        for b in self.get_gap_ack_blocks(cumulative_tsn) {
            s += format!(",{}-{}", b.start, b.end).as_str();
        }
        s
    }

    pub(crate) fn mark_as_acked(&mut self, tsn: u32) -> usize {
        if let Some(c) = self.get_mut(tsn) {
            c.acked = true;
            c.retransmit = false;
            let n = c.user_data.len();
            c.user_data.clear();
            self.n_bytes -= n;
            n
        } else {
            0
        }
    }

    pub(crate) fn get_last_tsn_received(&self) -> Option<&u32> {
        self.chunks.back().map(|c| &c.tsn)
    }

    pub(crate) fn get_num_bytes(&self) -> usize {
        self.n_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn contains_stream(&self, stream_identifier: u16) -> bool {
        self.chunks.iter().any(|chunk| chunk.stream_identifier == stream_identifier)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}
