//! The worst error of each elementary function: the one table that the documentation shows, and that `tests/precision`
//! holds against every `f32`.

/// Hands the table to another macro: a function of [`crate::lanes::math`], its worst error in ULP in the portable
/// arithmetic, in the fused one, and by integers on cores without an FPU (there `ln_1p` from 0 on), all rounded up.
macro_rules! functions {
    ($then:ident) => {
        $then! {
            exp "0.96" "0.99" "0.70",
            ln "0.96" "0.92" "0.96",
            ln_1p "0.98" "0.95" "0.56",
            ln_probability "0.96" "0.88" "0.96",
            ln_complement "0.96" "0.88" "0.96",
            sigmoid "1.44" "1.44" "0.69",
            log_sigmoid "1.35" "1.31" "1.06",
            softplus "1.35" "1.31" "1.06",
            soft "1.30" "1.24" "0.69",
            sigmoids "2.83" "2.83" "0.69",
        }
    };
}

macro_rules! documentation {
    ($($name:ident $portable:literal $fused:literal $integer:literal,)*) => {
        /// The entry of a function, in a sentence.
        macro_rules! worst_error {
            $(($name) => { concat!($portable, " ULP (fused: ", $fused, ", by integers: ", $integer, ")") };)*
        }

        /// All entries.
        macro_rules! worst_errors {
            () => {
                concat!(
                    "| ULP | portable | fused | by integers |\n|---|---|---|---|\n",
                    $("| `", stringify!($name), "` | ", $portable, " | ", $fused, " | ", $integer, " |\n",)*
                )
            };
        }
    };
}

functions!(documentation);
