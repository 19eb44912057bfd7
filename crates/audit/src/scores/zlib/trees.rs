//! What a block of literals and matches costs, stored, with the fixed code or with a code of its own (RFC 1951), the
//! code built as stock zlib builds it: among equally frequent nodes the flatter one is joined first, which decides the
//! code lengths and with them the cost of sending the code.

const LITERALS: usize = 256;
const END_OF_BLOCK: usize = LITERALS;
const LENGTH_SYMBOLS: usize = LITERALS + 1 + 29;
const DISTANCE_SYMBOLS: usize = 30;
const CODE_SYMBOLS: usize = 19;
/// A block ends when it holds this many symbols.
const FULL: usize = (1 << 14) - 1;

/// Order in which the lengths of the code-length code are sent; the unused ones at the end are left out.
const CODE_ORDER: [usize; CODE_SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Extra bits of a literal or length symbol.
fn length_extra(symbol: usize) -> u64 {
    match symbol {
        265..285 => (symbol as u64 - 261) / 4,
        _ => 0,
    }
}

/// Extra bits of a distance symbol.
fn distance_extra(symbol: usize) -> u64 {
    (symbol as u64 / 2).saturating_sub(1)
}

/// Extra bits of a symbol of the code-length code.
fn code_extra(symbol: usize) -> u64 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// Bits of a literal or length symbol in the fixed code.
fn fixed_bits(symbol: usize) -> u64 {
    match symbol {
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    }
}

fn length_symbol(length: usize) -> usize {
    match length {
        258 => 285,
        3..=10 => 254 + length,
        _ => {
            // Four symbols for each power of two from 8 on.
            let offset = length - 3;
            let bits = offset.ilog2() as usize - 2;
            257 + 4 * bits + (offset >> bits)
        }
    }
}

fn distance_symbol(distance: usize) -> usize {
    let offset = distance - 1;
    if offset < 4 {
        return offset;
    }
    // Two symbols for each power of two from 4 on.
    let bits = offset.ilog2() as usize - 1;
    2 * bits + (offset >> bits)
}

/// The symbols of one block, counted.
pub(super) struct Block {
    literals: [u32; LENGTH_SYMBOLS],
    distances: [u32; DISTANCE_SYMBOLS],
    symbols: usize,
}

impl Default for Block {
    fn default() -> Self {
        let mut literals = [0; LENGTH_SYMBOLS];
        literals[END_OF_BLOCK] = 1;
        Self { literals, distances: [0; DISTANCE_SYMBOLS], symbols: 0 }
    }
}

impl Block {
    /// Adds a literal; whether the block is full now.
    pub fn push_literal(&mut self, byte: u8) -> bool {
        self.literals[usize::from(byte)] += 1;
        self.symbols += 1;
        self.symbols == FULL
    }

    /// Adds a match; whether the block is full now.
    pub fn push_match(&mut self, distance: usize, length: usize) -> bool {
        self.literals[length_symbol(length)] += 1;
        self.distances[distance_symbol(distance)] += 1;
        self.symbols += 1;
        self.symbols == FULL
    }

    /// Ends the block at bit `at` of the stream, in the cheapest way, and returns where the stream then ends. `stored`
    /// is the block's length in bytes where it can be stored. Starts the next block.
    pub fn end(&mut self, at: u64, stored: Option<u64>, last: bool) -> u64 {
        let block = std::mem::take(self);
        let fixed = block.fixed();
        let own = block.own();
        let bytes = |bits: u64| (bits + 3).div_ceil(8);
        let cheapest = bytes(fixed).min(bytes(own));
        let end = match stored {
            // Three bits of header, on to a whole byte, the length twice, the bytes.
            Some(length) if length + 4 <= cheapest => (at + 3).next_multiple_of(8) + 8 * (4 + length),
            _ if bytes(fixed) <= bytes(own) => at + 3 + fixed,
            _ => at + 3 + own,
        };
        if last { end.next_multiple_of(8) } else { end }
    }

    /// Bits with the fixed code.
    fn fixed(&self) -> u64 {
        let literals = self.literals.iter().enumerate();
        let distances = self.distances.iter().enumerate();
        literals.map(|(s, &n)| u64::from(n) * (fixed_bits(s) + length_extra(s))).sum::<u64>()
            + distances.map(|(s, &n)| u64::from(n) * (5 + distance_extra(s))).sum::<u64>()
    }

    /// Bits with a code of its own, the code included.
    fn own(&self) -> u64 {
        let literals = Code::new(&self.literals, 15);
        let distances = Code::new(&self.distances, 15);
        let mut runs = [0; CODE_SYMBOLS];
        literals.count_runs(&mut runs);
        distances.count_runs(&mut runs);
        let lengths = Code::new(&runs, 7);
        let sent = (3..CODE_SYMBOLS).rev().find(|&i| lengths.bits[CODE_ORDER[i]] != 0).unwrap_or(2) + 1;
        literals.cost(&self.literals, length_extra)
            + distances.cost(&self.distances, distance_extra)
            + lengths.cost(&runs, code_extra)
            + 3 * sent as u64
            + 5
            + 5
            + 4
    }
}

/// A prefix code: the length of each symbol's code word, 0 where it has none.
struct Code {
    bits: Vec<usize>,
    // The last symbol that has a code word.
    last: usize,
}

impl Code {
    /// Huffman's code, no word longer than `longest`.
    fn new(counts: &[u32], longest: usize) -> Self {
        let mut weights = counts.to_vec();
        let mut used: Vec<usize> = (0..counts.len()).filter(|&s| counts[s] > 0).collect();
        let mut last = used.last().copied();
        // A code has at least two words. A forced one is counted as occurring when the tree is built, not when it is
        // paid for.
        while used.len() < 2 {
            let forced = match last {
                Some(symbol) if symbol < 2 => symbol + 1,
                _ => 0,
            };
            last = last.max(Some(forced));
            weights[forced] = 1;
            used.push(forced);
        }
        let last = last.unwrap_or(0);
        let mut tree = Tree { weights, depths: vec![0; counts.len()], heap: used };
        let (parents, order) = tree.build();
        Self { bits: limited(&tree.weights, &parents, &order, counts.len(), longest), last }
    }

    fn cost(&self, counts: &[u32], extra: fn(usize) -> u64) -> u64 {
        counts.iter().enumerate().map(|(s, &n)| u64::from(n) * (self.bits[s] as u64 + extra(s))).sum()
    }

    /// Counts the symbols that send the code lengths: runs of zeros and repetitions are abbreviated.
    fn count_runs(&self, runs: &mut [u32; CODE_SYMBOLS]) {
        let (mut previous, mut count) = (None, 0);
        let (mut most, mut least) = if self.bits[0] == 0 { (138, 3) } else { (7, 4) };
        for symbol in 0..=self.last {
            let bits = self.bits[symbol];
            // Nothing equals the end.
            let next = (symbol < self.last).then(|| self.bits[symbol + 1]);
            count += 1;
            if count < most && next == Some(bits) {
                continue;
            }
            if count < least {
                runs[bits] += count;
            } else if bits != 0 {
                runs[bits] += u32::from(previous != Some(bits));
                runs[16] += 1;
            } else if count <= 10 {
                runs[17] += 1;
            } else {
                runs[18] += 1;
            }
            (count, previous) = (0, Some(bits));
            (most, least) = match next {
                Some(0) => (138, 3),
                Some(n) if n == bits => (6, 3),
                _ => (7, 4),
            };
        }
    }
}

/// Symbols 0 … n − 1 as leaves, then the inner nodes as they are made.
struct Tree {
    weights: Vec<u32>,
    depths: Vec<u32>,
    // A binary heap from 0, the lightest node first.
    heap: Vec<usize>,
}

impl Tree {
    /// Joins the two lightest nodes until one is left. Returns every node's parent, and the nodes from the root down as
    /// they were taken.
    fn build(&mut self) -> (Vec<usize>, Vec<usize>) {
        for place in (0..self.heap.len() / 2).rev() {
            self.sift_down(place);
        }
        let mut parents = vec![0; self.weights.len()];
        let mut taken = Vec::new();
        while self.heap.len() > 1 {
            let lightest = self.heap.swap_remove(0);
            self.sift_down(0);
            let second = self.heap[0];
            let node = self.weights.len();
            self.weights.push(self.weights[lightest] + self.weights[second]);
            self.depths.push(self.depths[lightest].max(self.depths[second]) + 1);
            parents.push(0);
            (parents[lightest], parents[second]) = (node, node);
            taken.extend([lightest, second]);
            self.heap[0] = node;
            self.sift_down(0);
        }
        taken.push(self.heap[0]);
        taken.reverse();
        (parents, taken)
    }

    fn lighter(&self, a: usize, b: usize) -> bool {
        (self.weights[a], self.depths[a]) <= (self.weights[b], self.depths[b])
    }

    fn sift_down(&mut self, mut place: usize) {
        let node = self.heap[place];
        loop {
            let mut child = 2 * place + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.lighter(self.heap[child + 1], self.heap[child]) {
                child += 1;
            }
            if self.lighter(node, self.heap[child]) {
                break;
            }
            self.heap[place] = self.heap[child];
            place = child;
        }
        self.heap[place] = node;
    }
}

/// Depths of the leaves, words longer than `longest` shortened at the cost of the least frequent others.
fn limited(weights: &[u32], parents: &[usize], order: &[usize], leaves: usize, longest: usize) -> Vec<usize> {
    let mut bits = vec![0; weights.len()];
    let mut words = vec![0usize; longest + 1];
    let mut too_long = 0usize;
    for &node in &order[1..] {
        bits[node] = bits[parents[node]] + 1;
        if bits[node] > longest {
            bits[node] = longest;
            too_long += 1;
        }
        if node < leaves {
            words[bits[node]] += 1;
        }
    }
    if too_long > 0 {
        // Two words that are too long (a leaf of each pair is counted at the limit already) find room below the
        // deepest word that is shorter than the limit.
        let mut left = too_long as isize;
        while left > 0 {
            let Some(shorter) = (1..longest).rev().find(|&b| words[b] > 0) else { break };
            words[shorter] -= 1;
            words[shorter + 1] += 2;
            words[longest] -= 1;
            left -= 2;
        }
        let mut lightest_first = order.iter().rev().filter(|&&node| node < leaves);
        for length in (1..=longest).rev() {
            for &node in lightest_first.by_ref().take(words[length]) {
                bits[node] = length;
            }
        }
    }
    bits.truncate(leaves);
    bits
}
