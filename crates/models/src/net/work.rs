use crate::matmul::Real;

/// What one pass needs beside weights and gradient; it grows to the largest pass it has seen.
#[derive(Debug, Default)]
pub struct Workspace<T> {
    /// Values of each slot.
    pub values: Vec<Vec<T>>,
    /// Their gradients.
    pub grads: Vec<Vec<T>>,
    /// Columns of a convolution, and their gradients.
    pub columns: Vec<T>,
    /// Numbers that a step leaves for its backward, by step.
    pub stats: Vec<Vec<T>>,
    /// Places of the largest elements, by step.
    pub places: Vec<Vec<u8>>,
}

impl<T: Real> Workspace<T> {
    /// Makes room for `n` examples.
    pub fn prepare(&mut self, slots: &[usize], steps: usize, n: usize) {
        for list in [&mut self.values, &mut self.grads] {
            if list.len() < slots.len() {
                list.resize_with(slots.len(), Vec::new);
            }
            for (list, &len) in list.iter_mut().zip(slots) {
                grow(list, len * n);
            }
        }
        if self.stats.len() < steps {
            self.stats.resize_with(steps, Vec::new);
            self.places.resize_with(steps, Vec::new);
        }
    }
}

/// At least `len` elements of it.
pub fn grow<T: Copy + Default>(list: &mut Vec<T>, len: usize) -> &mut [T] {
    if list.len() < len {
        list.resize(len, T::default());
    }
    &mut list[..len]
}

/// Two different slots at once.
pub fn two<T>(slots: &mut [Vec<T>], first: usize, second: usize) -> (&mut [T], &mut [T]) {
    if first < second {
        let (head, tail) = slots.split_at_mut(second);
        (&mut head[first], &mut tail[0])
    } else {
        let (head, tail) = slots.split_at_mut(first);
        (&mut tail[0], &mut head[second])
    }
}
