//! Owns arrays that the kernel reads and writes through pointers. Never moves
//! or grows them: a pointer into one stays good as long as the array lives.

use std::ptr::{NonNull, slice_from_raw_parts_mut};

/// A fixed array on the heap. Unlike a `Box<[T]>`, it may be touched by both
/// references and stored pointers: all of them derive from the one in here.
pub(super) struct Fixed<T> {
    base: NonNull<T>,
    len: usize,
}

impl<T> Fixed<T> {
    /// An array of `len` elements, each as `make` says for its index.
    pub(super) fn new(len: usize, make: impl FnMut(usize) -> T) -> Self {
        let elements: Box<[T]> = (0..len).map(make).collect();
        let base = Box::into_raw(elements).cast::<T>();
        Self { base: NonNull::new(base).expect("invariant: a box is never null"), len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A pointer to element `index`, good to read and write it and those that follow.
    pub(super) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "element {index} of {}", self.len);
        // SAFETY: `index` is inside the allocation of `len` elements.
        unsafe { self.base.as_ptr().add(index) }
    }

    pub(super) fn element(&self, index: usize) -> &T {
        // SAFETY: `at` checks the bounds, every element was made in `new`, and
        // the borrow of `self` keeps `element_mut` away.
        unsafe { &*self.at(index) }
    }

    pub(super) fn element_mut(&mut self, index: usize) -> &mut T {
        // SAFETY: as in `element`; the borrow of `self` is exclusive, and the
        // kernel uses the pointers stored elsewhere only during a system call.
        unsafe { &mut *self.at(index) }
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of the box that `new` let go of.
        drop(unsafe { Box::from_raw(slice_from_raw_parts_mut(self.base.as_ptr(), self.len)) });
    }
}

// SAFETY: it owns its elements as a box does; pointers among them lead into
// memory with the same owner or are used only during a system call.
unsafe impl<T> Send for Fixed<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_references_reach_the_same_elements() {
        let mut array = Fixed::new(3, Box::new);
        let stored = array.at(2);
        **array.element_mut(2) += 5;
        // SAFETY: inside the array, and no reference to it is alive.
        unsafe { **stored += 1 };
        assert_eq!((**array.element(2), array.len()), (8, 3));
    }

    #[test]
    #[should_panic(expected = "element 3 of 3")]
    fn bounds_are_checked() {
        Fixed::new(3, |index| index).at(3);
    }
}
