//! Inner loops for several kinds of processors; the best that this one has is chosen at run time.
//!
//! Loops are written once, in plain Rust, which the compiler turns into instructions of each kind.

use std::sync::OnceLock;

/// What a processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Processor {
    /// What every processor can.
    Any,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with sums of products of whole numbers.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

#[cfg(target_arch = "x86_64")]
impl Processor {
    /// All of which this is one, the best last.
    pub(crate) fn available() -> Vec<Processor> {
        let mut available = vec![Processor::Any];
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            available.push(Processor::Avx2);
        }
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if available.contains(&Processor::Avx2) && avx512 {
            available.push(Processor::Avx512);
            if is_x86_feature_detected!("avx512vnni") {
                available.push(Processor::Avx512Vnni);
            }
        }
        available
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Processor {
    /// All of which this is one, the best last.
    pub(crate) fn available() -> Vec<Processor> {
        vec![Processor::Any]
    }
}

impl Processor {
    /// The best of which this is one.
    pub(crate) fn best() -> Processor {
        static BEST: OnceLock<Processor> = OnceLock::new();
        *BEST.get_or_init(|| Processor::available().pop().unwrap_or(Processor::Any))
    }
}

/// Whether this processor multiplies bfloat16 numbers.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Makes methods of [`Processor`] of functions that are inlined into one for each kind.
macro_rules! for_every_processor {
    ($($visible:vis fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = [$any:path, $avx2:path, $avx512:path];)*) => {$(
        #[cfg(target_arch = "x86_64")]
        $visible fn $name(self, $($argument: $type),*) $(-> $result)? {
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                $avx2($($argument),*)
            }
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                $avx512($($argument),*)
            }
            match self {
                Processor::Any => $any($($argument),*),
                // SAFETY: `available` detected what the function needs.
                Processor::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                Processor::Avx512 | Processor::Avx512Vnni => unsafe { avx512($($argument),*) },
            }
        }

        #[cfg(not(target_arch = "x86_64"))]
        $visible fn $name(self, $($argument: $type),*) $(-> $result)? {
            $any($($argument),*)
        }
    )*};
}

pub(crate) use for_every_processor;
