// What every native function of a block starts with. STRIDED is the branch where a block's threads
// share the entries of each result one by one: CUDA's, and the CPU's wherever a block has several
// threads. The other one is a single CPU thread working on whole vectors.
#if defined(__CUDA_ARCH__)
#undef STRIDED
#define STRIDED 1
#endif
#undef INLINE
#undef NOINLINE
#undef DEVICE
#undef UNROLL
#undef COPY
#if defined(__CUDA_ARCH__)
#define INLINE __forceinline__
#define DEVICE __device__
#define UNROLL _Pragma("unroll")
#define COPY memcpy
#else
#define NOINLINE __attribute__((noinline))
#define INLINE inline __attribute__((always_inline))
#define DEVICE
#define UNROLL _Pragma("clang loop unroll(full)")
#define COPY __builtin_memcpy
#endif
#undef BYTES
#undef ROWS
#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 8
#elif defined(__AVX__)
#define BYTES 32
#define ROWS 4
#else
#define BYTES 16
#define ROWS 2
#endif
#if !STRIDED
enum { V = BYTES / SIZE };
typedef REAL vec __attribute__((vector_size(BYTES), aligned(SIZE), may_alias));
#endif
