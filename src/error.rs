//! What can be wrong with an input.

use core::fmt;

/// Why a call was refused: what is wrong, and where.
///
/// A call that fails with anything but [`Error::ProbabilityOutOfRange`] has left all its outputs as they were.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The slice of a row-major view does not have as many elements as its shape.
    LengthMismatch {
        /// Elements in the slice.
        len: usize,
        /// The product of the shape.
        expected: usize,
    },
    /// A view reaches outside of its slice.
    OutOfBounds {
        /// The element furthest outside, counted from the start of the slice.
        index: i128,
        /// Elements in the slice.
        len: usize,
    },
    /// A view has more elements than a `usize` can count.
    TooLarge,
    /// Two indices of a mutable view meet in one element, or could.
    Overlap {
        /// The axis whose stride is too short.
        axis: usize,
    },
    /// A view has too many or too few axes for its role.
    RankMismatch {
        /// Which argument.
        argument: Argument,
        /// Its rank.
        rank: usize,
        /// The rank that fits the input.
        expected: usize,
    },
    /// A view's extent does not fit the input's.
    ShapeMismatch {
        /// Which argument.
        argument: Argument,
        /// The axis of that argument.
        axis: usize,
        /// Its extent there.
        len: usize,
        /// The extent that fits.
        expected: usize,
    },
    /// A class weight is missing or left over.
    WeightLength {
        /// Weights given.
        len: usize,
        /// Classes of the input.
        classes: usize,
    },
    /// A class index that is neither a class nor the ignored index.
    TargetOutOfRange {
        /// Which target, counted in row-major order.
        index: usize,
        /// Its value.
        target: i128,
        /// Classes of the input: 0 to `classes - 1` are valid.
        classes: usize,
    },
    /// Label smoothing outside [0, 1], or NaN.
    LabelSmoothingOutOfRange {
        /// Its value.
        value: f32,
    },
    /// An ignored index was set, but the targets are class probabilities.
    IgnoreIndexWithProbabilities,
    /// A probability outside [0, 1] in the input of [`BceLoss`](crate::BceLoss). Outputs may be partly written.
    ProbabilityOutOfRange {
        /// Which element, counted in row-major order.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// An axis that the input does not have.
    AxisOutOfRange {
        /// The axis.
        axis: usize,
        /// Axes of the input.
        rank: usize,
    },
}

/// Names an argument in an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// A view that is broadcast.
    View,
    /// The input: logits, log-probabilities or probabilities.
    Input,
    /// The target.
    Target,
    /// The output.
    Output,
    /// The gradient that is computed.
    Gradient,
    /// The gradient that comes in.
    Upstream,
    /// The weight of each element.
    Weight,
    /// The weight of positive targets.
    PosWeight,
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "view",
            Self::Input => "input",
            Self::Target => "target",
            Self::Output => "output",
            Self::Gradient => "gradient",
            Self::Upstream => "upstream gradient",
            Self::Weight => "weight",
            Self::PosWeight => "pos_weight",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LengthMismatch { len, expected } => {
                write!(f, "the slice has {len} elements, its shape has {expected}")
            }
            Self::OutOfBounds { index, len } => {
                write!(f, "the view reaches element {index} of a slice of {len}")
            }
            Self::TooLarge => f.write_str("the view has more elements than a usize can count"),
            Self::Overlap { axis } => {
                write!(f, "indices along axis {axis} of a mutable view could meet in one element")
            }
            Self::RankMismatch { argument, rank, expected } => {
                write!(f, "the {argument} has {rank} axes, expected {expected}")
            }
            Self::ShapeMismatch { argument, axis, len, expected } => {
                write!(f, "axis {axis} of the {argument} has length {len}, expected {expected}")
            }
            Self::WeightLength { len, classes } => {
                write!(f, "{len} class weights for {classes} classes")
            }
            Self::TargetOutOfRange { index, target, classes } => {
                write!(f, "target {index} is {target}, but there are {classes} classes")
            }
            Self::LabelSmoothingOutOfRange { value } => {
                write!(f, "label smoothing is {value}, expected a value in [0, 1]")
            }
            Self::IgnoreIndexWithProbabilities => {
                f.write_str("an ignore_index was set, but the targets are probabilities")
            }
            Self::ProbabilityOutOfRange { index, value } => {
                write!(f, "element {index} of the input is {value}, expected a probability in [0, 1]")
            }
            Self::AxisOutOfRange { axis, rank } => {
                write!(f, "axis {axis} of an input with {rank} axes")
            }
        }
    }
}

impl core::error::Error for Error {}
