#include "gemm_peers.h"

#include <Eigen/Dense>

#include "fovea/core/parallel.h"
#ifdef FOVEA_BENCH_ONEDNN
#include <dnnl.hpp>
#include <memory>
#endif
#ifdef FOVEA_BENCH_OPENBLAS
#include <cblas.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

namespace fovea::bench {
namespace {

std::int64_t a_stride(const Product& p) { return p.a_transposed ? p.m : p.k; }
std::int64_t b_stride(const Product& p) { return p.b_transposed ? p.k : p.n; }

std::function<void()> eigen(const Product& p) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using View = Eigen::Map<const Matrix>;
  return [p] {
    Eigen::Map<Matrix> c(p.c, p.m, p.n);
    const View a(p.a, p.a_transposed ? p.k : p.m, a_stride(p)), b(p.b, p.b_transposed ? p.n : p.k, b_stride(p));
    if (p.a_transposed) {
      c.noalias() = a.transpose() * b;
    } else if (p.b_transposed) {
      c.noalias() = a * b.transpose();
    } else {
      c.noalias() = a * b;
    }
  };
}

#ifdef FOVEA_BENCH_ONEDNN
std::function<void()> onednn_matmul(const Product& p) {
  using dnnl::memory;
  using tag = memory::format_tag;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const memory::desc a({p.m, p.k}, memory::data_type::f32, p.a_transposed ? tag::ba : tag::ab);
  const memory::desc b({p.k, p.n}, memory::data_type::f32, p.b_transposed ? tag::ba : tag::ab);
  const memory::desc c({p.m, p.n}, memory::data_type::f32, tag::ab);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(engine, a, b, c);
#else
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), engine);
#endif
  const dnnl::matmul multiply(description);
  const std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, memory(a, engine, const_cast<float*>(p.a))},
                                                  {DNNL_ARG_WEIGHTS, memory(b, engine, const_cast<float*>(p.b))},
                                                  {DNNL_ARG_DST, memory(c, engine, p.c)}};
  const auto stream = std::make_shared<dnnl::stream>(engine);
  return [=] {
    multiply.execute(*stream, arguments);
    stream->wait();
  };
}

std::function<void()> onednn_sgemm(const Product& p) {
  return [p] {
    dnnl_sgemm(p.a_transposed ? 'T' : 'N', p.b_transposed ? 'T' : 'N', p.m, p.n, p.k, 1.0f, p.a, a_stride(p), p.b,
               b_stride(p), 0.0f, p.c, p.n);
  };
}
#endif

#ifdef FOVEA_BENCH_OPENBLAS
std::function<void()> openblas(const Product& p) {
  const auto as_blas = [](std::int64_t x) { return static_cast<blasint>(x); };
  return [=] {
    cblas_sgemm(CblasRowMajor, p.a_transposed ? CblasTrans : CblasNoTrans, p.b_transposed ? CblasTrans : CblasNoTrans,
                as_blas(p.m), as_blas(p.n), as_blas(p.k), 1.0f, p.a, as_blas(a_stride(p)), p.b, as_blas(b_stride(p)),
                0.0f, p.c, as_blas(p.n));
  };
}
#endif

}  // namespace

std::vector<GemmPeer> gemm_peers() {
#ifdef _OPENMP
  omp_set_num_threads(num_threads());
#endif
  std::vector<GemmPeer> peers{{"Eigen", eigen}};
#ifdef FOVEA_BENCH_ONEDNN
  peers.push_back({"oneDNN_matmul", onednn_matmul});
  peers.push_back({"oneDNN_sgemm", onednn_sgemm});
#endif
#ifdef FOVEA_BENCH_OPENBLAS
  openblas_set_num_threads(num_threads());
  peers.push_back({"OpenBLAS", openblas});
#endif
  return peers;
}

}  // namespace fovea::bench
