"""The literature that the methods of a study cite, by author and year."""

from collections.abc import Iterable

REFERENCES = {
    "Amdahl 1967": (
        "G. M. Amdahl. Validity of the single processor approach to achieving large scale "
        "computing capabilities. AFIPS Spring Joint Computer Conference, 1967."
    ),
    "Bouthillier et al. 2021": (
        "X. Bouthillier et al. Accounting for variance in machine learning benchmarks. MLSys, "
        "2021. arXiv:2103.03098."
    ),
    "Dahl et al. 2023": (
        "G. E. Dahl et al. Benchmarking neural network training algorithms. 2023. arXiv:2306.07179."
    ),
    "Hahn 1969": (
        "G. J. Hahn. Factors for calculating two-sided prediction intervals for samples from "
        "a normal distribution. Journal of the American Statistical Association 64, 1969."
    ),
    "Holm 1979": (
        "S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian "
        "Journal of Statistics 6, 1979."
    ),
    "Karp and Flatt 1990": (
        "A. H. Karp and H. P. Flatt. Measuring parallel processor performance. Communications "
        "of the ACM 33, 1990."
    ),
    "Pineau et al. 2020": (
        "J. Pineau et al. Improving reproducibility in machine learning research. 2020. "
        "arXiv:2003.12206."
    ),
    "Student 1908": ("Student. The probable error of a mean. Biometrika 6, 1908."),
    "Wang and Ramdas 2023": (
        "H. Wang and A. Ramdas. Anytime-valid t-tests and confidence sequences for Gaussian "
        "means with unknown variance. 2023. arXiv:2310.03722."
    ),
}


def cited(texts: Iterable[str]) -> list[str]:
    """The entries that these texts cite, in the order of the list."""
    text = " ".join(texts)
    return [entry for name, entry in REFERENCES.items() if name in text]
