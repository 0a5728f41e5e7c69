//! The worst error of each elementary function: the one table that the documentation shows, and that `tests/precision`
//! holds against every `f32`.

/// Hands the table to another macro: a function of [`crate::lanes::math`], its worst error in ULP in the portable
/// arithmetic and in the fused one, both rounded up.
macro_rules! functions {
    ($then:ident) => {
        $then! {
            exp "0.96" "0.99",
            ln "0.96" "0.92",
            ln_1p "0.98" "0.95",
            ln_probability "0.96" "0.88",
            ln_complement "0.96" "0.88",
            sigmoid "1.44" "1.44",
            log_sigmoid "1.27" "1.26",
            softplus "1.27" "1.26",
            soft "1.27" "1.26",
            sigmoids "2.83" "2.83",
        }
    };
}

macro_rules! documentation {
    ($($name:ident $portable:literal $fused:literal,)*) => {
        /// The entry of a function, in a sentence.
        macro_rules! worst_error {
            $(($name) => { concat!($portable, " ULP (fused: ", $fused, ")") };)*
        }

        /// All entries.
        macro_rules! worst_errors {
            () => {
                concat!(
                    "| ULP | portable | fused |\n|---|---|---|\n",
                    $("| `", stringify!($name), "` | ", $portable, " | ", $fused, " |\n",)*
                )
            };
        }
    };
}

functions!(documentation);
