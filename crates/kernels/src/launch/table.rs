//! The list of kernels: one line each, from which names, parameter checks and the CPU entry points are made.

#[cfg(feature = "simt")]
use std::ffi::{c_uint, c_void};

/// Type of a kernel parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Address on the device.
    Pointer,
    /// 32-bit integer.
    U32,
    /// 64-bit integer.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
}

#[cfg(feature = "simt")]
/// A kernel compiled for the CPU: grid, block, dynamic shared bytes, addresses of the arguments.
pub(crate) type HostKernel =
    unsafe extern "C" fn(c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, *mut *mut c_void);

macro_rules! kernels {
    ($($file:literal { $($id:ident $symbol:ident [$($param:tt)*])* })*) => {
        /// A kernel of ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // each is described where it is defined
        pub enum KernelId { $($($id,)*)* }

        impl KernelId {
            /// Every kernel.
            pub const ALL: &[Self] = &[$($(Self::$id,)*)*];

            /// The kernel file, without extension.
            pub const fn file(self) -> &'static str {
                match self { $($(Self::$id => $file,)*)* }
            }

            const fn symbol(self) -> &'static str {
                match self { $($(Self::$id => stringify!($symbol),)*)* }
            }

            /// Types of the parameters, in order.
            pub const fn params(self) -> &'static [Param] {
                match self { $($(Self::$id => &[$(kernels!(@ $param)),*],)*)* }
            }

            /// The kernel compiled for the CPU.
            #[cfg(feature = "simt")]
            pub(crate) fn host(self) -> HostKernel {
                unsafe extern "C" {
                    $($(fn $symbol(gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, args: *mut *mut c_void);)*)*
                }
                match self { $($(Self::$id => $symbol,)*)* }
            }
        }
    };
    (@ p) => { Param::Pointer };
    (@ u) => { Param::U32 };
    (@ U) => { Param::U64 };
    (@ f) => { Param::F32 };
    (@ F) => { Param::F64 };
}

// p pointer, u u32, U u64, f f32, F f64
kernels! {
    "topk" {
        TopkHistogram simt_topk_histogram [p U p p u p]
        TopkEfHistogram simt_topk_ef_histogram [p p f U p p]
        TopkGather simt_topk_gather [p U p p u p p]
        TopkGatherU64 simt_topk_gather_u64 [p U p p u p p]
        TopkEfGather simt_topk_ef_gather [p p f U p p p p]
        TopkEfGatherU64 simt_topk_ef_gather_u64 [p p f U p p p p]
        TopkWrite simt_topk_write [p U p p p p p p p p]
        TopkWriteU64 simt_topk_write_u64 [p U p p p p p p p p]
    }
    "noise" {
        NoiseWrite simt_noise_write [p p U U p u u u f f]
    }
    "clip" {
        ClipSquares simt_clip_squares [p U U p U p]
        ClipReduce simt_clip_reduce [p p U p]
        ClipFactors simt_clip_factors [p U U u F p p]
        ClipAccumulate simt_clip_accumulate [p U U p U U p p u p u u u f f]
        ClipGram simt_clip_gram [p p U U U U p]
        ClipExplicit simt_clip_explicit [p p U U U U p]
        ClipLinear simt_clip_linear [p p p U U U U p]
        ClipGroupSquares simt_clip_group_squares [p p p U U p]
        ClipEmbedding simt_clip_embedding [p p p p p U p p p U p]
        ClipChannels simt_clip_channels [p p U U U p]
    }
    "sparse" {
        SparseGather simt_sparse_gather [p p p U U]
        SparseAxpy simt_sparse_axpy [p p p f U U]
        SparseSgd simt_sparse_sgd [p p p p U u f f f u]
        SparseAdamw simt_sparse_adamw [p p p p p U u f f f f f f f]
        SparseTranspose simt_sparse_transpose [p U U p]
        SparseSddmm simt_sparse_sddmm [p p p U U U p]
        SparseMaskCount simt_sparse_mask_count [p U p]
        SparseMaskWrite simt_sparse_mask_write [p U p p]
        SparseIndexMask simt_sparse_index_mask [p U p]
    }
    "dequant" {
        DequantInt4F32 simt_dequant_int4_f32 [p U u u U U p]
        DequantInt4Bf16 simt_dequant_int4_bf16 [p U u u U U p]
        DequantInt4F16 simt_dequant_int4_f16 [p U u u U U p]
        DequantQ80F32 simt_dequant_q8_0_f32 [p U p]
        DequantQ80Bf16 simt_dequant_q8_0_bf16 [p U p]
        DequantQ80F16 simt_dequant_q8_0_f16 [p U p]
    }
    "sketch" {
        SketchCheckQuantised simt_sketch_check_quantised [p U F p]
        SketchCheckFixed simt_sketch_check_fixed [p U F p]
        SketchAddQuantised simt_sketch_add_quantised [p p U U F p u U p]
        SketchAddFixed simt_sketch_add_fixed [p p U U F p u U p]
        SketchAddSharedQuantised simt_sketch_add_shared_quantised [p p U U F p U p]
        SketchAddSharedFixed simt_sketch_add_shared_fixed [p p U U F p U p]
        SketchAddOrdered simt_sketch_add_ordered [p p U U p U u p]
        SketchCombineF32 simt_sketch_combine_f32 [p p f u U]
        SketchCombineFixed simt_sketch_combine_fixed [p p f u u p U]
        SketchZeroF32 simt_sketch_zero_f32 [p p p U]
        SketchZeroFixed simt_sketch_zero_fixed [p p p U]
        SketchMaxFixed simt_sketch_max_fixed [p p U]
        SketchToF32 simt_sketch_to_f32 [p f p U]
        SketchNonfinite simt_sketch_nonfinite [p p U]
        SketchEstimate simt_sketch_estimate [p p u U U U p]
        UnsketchHistogram simt_unsketch_histogram [p p u U U p p u p]
        UnsketchGather simt_unsketch_gather [p p u U U p p p p]
        UnsketchWrite simt_unsketch_write [p p u U U p p p p p p]
    }
}

impl KernelId {
    /// The name in the CUDA source and in the PTX.
    pub fn name(self) -> &'static str {
        let symbol = self.symbol();
        symbol.strip_prefix("simt_").unwrap_or(symbol)
    }
}
