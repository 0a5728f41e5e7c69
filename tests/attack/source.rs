//! From bytes to shapes, layouts and numbers. Fewer and smaller bytes give what is smaller and simpler.

use arbitrary::{Result, Unstructured};

use super::claim::{Claim, count};
use crate::common::{
    layouts::{Order, Place, Placement},
    random::Random,
};

/// The bytes.
pub struct Source<'a>(Unstructured<'a>);

impl<'a> From<Unstructured<'a>> for Source<'a> {
    fn from(bytes: Unstructured<'a>) -> Self {
        Self(bytes)
    }
}

/// Numbers at which something changes: zeros, infinities, NaN, subnormals, extremes, and where `exp` ends.
pub const SPECIAL: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::from_bits(0xff80_0001),
    f32::from_bits(1),
    f32::from_bits(0x8000_0001),
    f32::MIN_POSITIVE,
    f32::from_bits(0x007f_ffff),
    f32::MAX,
    f32::MIN,
    f32::EPSILON,
    1.000_000_1,
    0.999_999_94,
    88.722_84,
    -87.336_54,
    -103.972_08,
    104.0,
    16_777_216.0,
    1e4,
];

/// The most elements of an array, and of the slice of one with small strides.
const MANY: usize = 2000;

/// Which numbers fill an array.
#[derive(Clone, Copy)]
pub enum Fill {
    /// Logits.
    Logits,
    /// Probabilities.
    Unit,
    /// Weights: not negative.
    Weights,
}

impl Source<'_> {
    pub fn byte(&mut self) -> Result<usize> {
        self.0.arbitrary::<u8>().map(usize::from)
    }

    pub fn word(&mut self) -> Result<usize> {
        self.0.arbitrary()
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> Result<usize> {
        Ok(self.byte()? % limit)
    }

    /// Rarely true.
    pub fn rarely(&mut self) -> Result<bool> {
        Ok(self.byte()? >= 250)
    }

    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.byte()? % 2 == 1 { make(self).map(Some) } else { Ok(None) }
    }

    fn extent(&mut self) -> Result<usize> {
        Ok(match self.byte()? {
            byte @ ..=199 => 1 + byte % 5,
            byte @ 200..=239 => byte % 40,
            240..=247 => 0,
            _ => usize::from(self.0.arbitrary::<u16>()?) % 1300,
        })
    }

    /// The shape of an input: mostly of a few elements, rarely of many.
    pub fn shape<const D: usize>(&mut self) -> Result<[usize; D]> {
        let limit = if self.byte()? < 240 { 64 } else { MANY };
        let mut shape = [1; D];
        for axis in 0..D {
            self.set_extent(&mut shape, axis, limit)?;
        }
        Ok(shape)
    }

    /// Rarely, one extent is another, so that it no longer fits.
    pub fn nearly<const D: usize>(&mut self, mut shape: [usize; D]) -> Result<[usize; D]> {
        if self.rarely()? && D > 0 {
            let axis = self.below(D)?;
            self.set_extent(&mut shape, axis, MANY)?;
        }
        Ok(shape)
    }

    /// Sets an extent, if there are no more elements then, empty axes not counted.
    fn set_extent<const D: usize>(&mut self, shape: &mut [usize; D], axis: usize, limit: usize) -> Result<()> {
        let old = core::mem::replace(&mut shape[axis], self.extent()?);
        if count(&shape.map(|extent| extent.max(1))) > limit as u128 {
            shape[axis] = old;
        }
        Ok(())
    }

    /// A layout of this shape, for an input or, without repetitions, an output; most are possible.
    pub fn layout<T: Clone, const D: usize>(
        &mut self,
        shape: [usize; D],
        filler: T,
        repeats: bool,
    ) -> Result<Claim<T, D>> {
        let kind = self.byte()?;
        let mut claim = if kind % 8 == 7 && (repeats || kind % 16 == 15) {
            self.any_strides(shape, filler)?
        } else {
            self.honest(kind, shape, filler, repeats)?
        };
        if self.rarely()? {
            self.spoil(&mut claim)?;
        }
        Ok(claim)
    }

    fn honest<T: Clone, const D: usize>(
        &mut self,
        kind: usize,
        shape: [usize; D],
        filler: T,
        repeats: bool,
    ) -> Result<Claim<T, D>> {
        let order = match kind % 8 {
            0..3 => Order::RowMajor,
            3 => Order::ColumnMajor,
            4 => Order::ChannelsLast,
            _ => Order::Shuffled(self.byte()? as u64),
        };
        let details = if kind >= 64 { self.0.arbitrary::<[u8; 3]>()? } else { [0; 3] };
        let [steps, reversed, repeated] = details;
        let (step, gap, margin) = (1 + steps as usize % 3, steps as usize / 3 % 3, steps as usize / 9 % 20);
        let placement = Placement { order, step, gap, reversed, margin, broadcast: false };
        let repeated = if repeats && repeated >= 128 { repeated } else { 0 };
        let place = Place::new(&shape, placement, &core::array::from_fn::<_, D, _>(|axis| repeated >> axis & 1 == 1));
        let (shape, strides) = place.arrays();
        Ok(Claim { data: vec![filler; place.len], offset: place.offset, shape, strides })
    }

    /// Small strides of any sign, in a slice that just holds them.
    fn any_strides<T: Clone, const D: usize>(&mut self, shape: [usize; D], filler: T) -> Result<Claim<T, D>> {
        let mut strides = [0; D];
        for stride in &mut strides {
            *stride = self.0.arbitrary::<i8>()?.into();
        }
        let reach = |side: fn(isize) -> isize| -> usize {
            let axes = shape.iter().zip(&strides);
            axes.map(|(&extent, &stride)| extent.saturating_sub(1) * side(stride).unsigned_abs()).sum()
        };
        let (down, up) = (reach(|stride| stride.min(0)), reach(|stride| stride.max(0)));
        if down + up > 4 * MANY {
            return self.honest(0, shape, filler, false);
        }
        Ok(Claim { data: vec![filler; down + up + 1], offset: down, shape, strides })
    }

    /// Changes one thing to anything at all.
    pub fn spoil<T: Clone, const D: usize>(&mut self, claim: &mut Claim<T, D>) -> Result<()> {
        let axis = self.below(D.max(1))?;
        match self.below(8)? {
            0 => drop(claim.data.pop()),
            1 => claim.offset = self.word()?,
            2 => claim.offset = claim.offset.wrapping_add(self.byte()?),
            kind @ 3..6 => {
                let word = if kind == 3 { self.word()? } else { self.extent()? };
                claim.shape.get_mut(axis).into_iter().for_each(|extent| *extent = word);
            }
            kind => {
                let word = if kind == 6 { self.word()?.cast_signed() } else { isize::from(self.0.arbitrary::<i8>()?) };
                claim.strides.get_mut(axis).into_iter().for_each(|stride| *stride = word);
            }
        }
        Ok(())
    }

    /// One number of any bits, or a special one.
    pub fn number(&mut self) -> Result<f32> {
        Ok(match self.byte()? {
            byte @ ..=127 => SPECIAL[byte % SPECIAL.len()],
            byte @ 128..=191 => (byte as f32 - 160.0) / 8.0,
            _ => f32::from_bits(self.0.arbitrary()?),
        })
    }

    /// So many numbers.
    pub fn numbers(&mut self, len: usize, fill: Fill) -> Result<Vec<f32>> {
        let mut data = vec![0.0; len];
        self.fill(&mut data, fill)?;
        Ok(data)
    }

    /// Numbers of one kind, and then single ones of any bits.
    pub fn fill(&mut self, data: &mut [f32], fill: Fill) -> Result<()> {
        let kind = self.byte()?;
        let mut random = Random::new(kind as u64);
        let mut each = |f: &mut dyn FnMut(&mut Random) -> f32| data.iter_mut().for_each(|x| *x = f(&mut random));
        match (kind % 16, fill) {
            (15, _) => each(&mut |random| f32::from_bits(random.next() as u32)),
            (13 | 14, _) => each(&mut |random| SPECIAL[random.below(SPECIAL.len())]),
            (_, Fill::Unit) => each(&mut |random| random.uniform(-0.25, 1.25).clamp(0.0, 1.0)),
            (_, Fill::Weights) => each(&mut |random| random.uniform(-0.25, 2.0).max(0.0)),
            (0, _) => {}
            (11 | 12, _) => each(&mut |random| random.uniform(9_990.0, 10_000.0)),
            (8..=10, _) => each(&mut |random| random.uniform(-60.0, 60.0)),
            _ => each(&mut |random| random.uniform(-2.5, 2.5)),
        }
        if !data.is_empty() {
            for _ in 0..self.byte()? / 64 {
                let at = self.0.arbitrary::<u16>()?;
                data[usize::from(at) % data.len()] = self.number()?;
            }
        }
        Ok(())
    }

    /// An array of numbers.
    pub fn array<const D: usize>(&mut self, shape: [usize; D], fill: Fill) -> Result<Claim<f32, D>> {
        let shape = self.nearly(shape)?;
        let mut claim = self.layout(shape, 0.0, true)?;
        self.fill(&mut claim.data, fill)?;
        Ok(claim)
    }

    /// An output, full of canaries.
    pub fn output<const D: usize>(&mut self, shape: [usize; D]) -> Result<Claim<f32, D>> {
        let shape = self.nearly(shape)?;
        self.layout(shape, CANARY, false)
    }

    /// An integer of any type.
    pub fn integer<T: for<'b> arbitrary::Arbitrary<'b>>(&mut self) -> Result<T> {
        self.0.arbitrary()
    }
}

/// A number that no computation is likely to give.
const CANARY: f32 = f32::from_bits(0xdead_beef);
