//! Random numbers by integer arithmetic alone: no machine can round them differently.

/// Xorshift with 32 bits (Marsaglia, shifts 13, 17, 5): no machine is too small for it.
pub struct Random(u32);

impl Random {
    /// Any seed but 0.
    pub const fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// Never 0.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        self.bits() % limit
    }

    /// In [0, 1), a multiple of 2^-16.
    pub fn unit(&mut self) -> f32 {
        f32::from_bits(0x3f80_0000 | self.bits() >> 16 << 7) - 1.0
    }

    /// In [-8, 8).
    pub fn logit(&mut self) -> f32 {
        16.0 * self.unit() - 8.0
    }

    /// Any float at all, or one of the special ones.
    pub fn any(&mut self) -> f32 {
        const SPECIAL: [f32; 6] = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE];
        match self.below(8) {
            0 => SPECIAL[self.below(6) as usize],
            1..3 => f32::from_bits(self.bits()),
            3 => 20.0 * self.logit(),
            _ => self.logit(),
        }
    }

    /// In [0, 1], often one of the ends.
    pub fn probability(&mut self) -> f32 {
        match self.below(8) {
            0 => 0.0,
            1 => 1.0,
            _ => self.unit(),
        }
    }
}
