//! Inner loops compiled for several instruction sets. The best one that the processor has is chosen at run time.
//!
//! A loop is written once, in plain Rust; the compiler vectorizes it for each instruction set.

use std::sync::OnceLock;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Processor {
    /// The baseline of the target.
    Any,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with dot products of integers (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

#[cfg(target_arch = "x86_64")]
impl Processor {
    /// All supported instruction sets, from least to most capable.
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
    /// All supported instruction sets, from least to most capable.
    pub(crate) fn available() -> Vec<Processor> {
        vec![Processor::Any]
    }
}

impl Processor {
    /// The most capable supported instruction set.
    pub(crate) fn best() -> Processor {
        static BEST: OnceLock<Processor> = OnceLock::new();
        *BEST.get_or_init(|| Processor::available().pop().unwrap_or(Processor::Any))
    }
}

/// True if the processor has instructions that multiply bfloat16 values.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Defines methods of [`Processor`] that dispatch to one copy of a function per instruction set.
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
                // SAFETY: `available` detected AVX2 and FMA.
                Processor::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: `available` detected these AVX-512 extensions.
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
