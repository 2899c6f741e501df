"""Whom to cite: BibTeX of each optimizer and schedule that has a paper."""

from __future__ import annotations

from collections.abc import Iterable

# key: (title, authors, year, arXiv number or "", where it appeared)
_WORKS: dict[str, tuple[str, str, int, str, str]] = {
    "robbins1951": (
        "A stochastic approximation method",
        "Robbins, Herbert and Monro, Sutton",
        1951,
        "",
        "The Annals of Mathematical Statistics 22(3)",
    ),
    "polyak1964": (
        "Some methods of speeding up the convergence of iteration methods",
        "Polyak, Boris T.",
        1964,
        "",
        "USSR Computational Mathematics and Mathematical Physics 4(5)",
    ),
    "sutskever2013": (
        "On the importance of initialization and momentum in deep learning",
        "Sutskever, Ilya and Martens, James and Dahl, George and Hinton, Geoffrey",
        2013,
        "",
        "International Conference on Machine Learning",
    ),
    "riedmiller1993": (
        "A direct adaptive method for faster backpropagation learning: the RPROP algorithm",
        "Riedmiller, Martin and Braun, Heinrich",
        1993,
        "",
        "IEEE International Conference on Neural Networks",
    ),
    "igel2000": (
        "Improving the Rprop learning algorithm",
        'Igel, Christian and H{\\"u}sken, Michael',
        2000,
        "",
        "International Symposium on Neural Computation",
    ),
    "jacobs1988": (
        "Increased rates of convergence through learning rate adaptation",
        "Jacobs, Robert A.",
        1988,
        "",
        "Neural Networks 1(4)",
    ),
    "hinton2012": (
        "Neural networks for machine learning, lecture 6",
        "Hinton, Geoffrey and Srivastava, Nitish and Swersky, Kevin",
        2012,
        "",
        "Coursera",
    ),
    "duchi2011": (
        "Adaptive subgradient methods for online learning and stochastic optimization",
        "Duchi, John and Hazan, Elad and Singer, Yoram",
        2011,
        "",
        "Journal of Machine Learning Research 12",
    ),
    "zeiler2012": (
        "ADADELTA: an adaptive learning rate method",
        "Zeiler, Matthew D.",
        2012,
        "1212.5701",
        "",
    ),
    "graves2013": (
        "Generating sequences with recurrent neural networks",
        "Graves, Alex",
        2013,
        "1308.0850",
        "",
    ),
    "kingma2015": (
        "Adam: a method for stochastic optimization",
        "Kingma, Diederik P. and Ba, Jimmy",
        2015,
        "1412.6980",
        "International Conference on Learning Representations",
    ),
    "dozat2016": (
        "Incorporating Nesterov momentum into Adam",
        "Dozat, Timothy",
        2016,
        "",
        "International Conference on Learning Representations, workshop",
    ),
    "loshchilov2019": (
        "Decoupled weight decay regularization",
        "Loshchilov, Ilya and Hutter, Frank",
        2019,
        "1711.05101",
        "International Conference on Learning Representations",
    ),
    "reddi2018": (
        "On the convergence of Adam and beyond",
        "Reddi, Sashank J. and Kale, Satyen and Kumar, Sanjiv",
        2018,
        "1904.09237",
        "International Conference on Learning Representations",
    ),
    "zhuang2020": (
        "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients",
        "Zhuang, Juntang and Tang, Tommy and Ding, Yifan and Tatikonda, Sekhar and "
        "Dvornek, Nicha and Papademetris, Xenophon and Duncan, James S.",
        2020,
        "2010.07468",
        "Advances in Neural Information Processing Systems",
    ),
    "ma2019": (
        "Quasi-hyperbolic momentum and Adam for deep learning",
        "Ma, Jerry and Yarats, Denis",
        2019,
        "1810.06801",
        "International Conference on Learning Representations",
    ),
    "you2017": (
        "Large batch training of convolutional networks",
        "You, Yang and Gitman, Igor and Ginsburg, Boris",
        2017,
        "1708.03888",
        "",
    ),
    "you2020": (
        "Large batch optimization for deep learning: training BERT in 76 minutes",
        "You, Yang and Li, Jing and Reddi, Sashank and Hseu, Jonathan and Kumar, Sanjiv and "
        "Bhojanapalli, Srinadh and Song, Xiaodan and Demmel, James and Keutzer, Kurt and "
        "Hsieh, Cho-Jui",
        2020,
        "1904.00962",
        "International Conference on Learning Representations",
    ),
    "keskar2017": (
        "Improving generalization performance by switching from Adam to SGD",
        "Keskar, Nitish Shirish and Socher, Richard",
        2017,
        "1712.07628",
        "",
    ),
    "loshchilov2017": (
        "SGDR: stochastic gradient descent with warm restarts",
        "Loshchilov, Ilya and Hutter, Frank",
        2017,
        "1608.03983",
        "International Conference on Learning Representations",
    ),
    "smith2017": (
        "Cyclical learning rates for training neural networks",
        "Smith, Leslie N.",
        2017,
        "1506.01186",
        "IEEE Winter Conference on Applications of Computer Vision",
    ),
    "smith2019": (
        "Super-convergence: very fast training of neural networks using large learning rates",
        "Smith, Leslie N. and Topin, Nicholay",
        2019,
        "1708.07120",
        "",
    ),
    "vaswani2017": (
        "Attention is all you need",
        "Vaswani, Ashish and Shazeer, Noam and Parmar, Niki and Uszkoreit, Jakob and "
        "Jones, Llion and Gomez, Aidan N. and Kaiser, Lukasz and Polosukhin, Illia",
        2017,
        "1706.03762",
        "Advances in Neural Information Processing Systems",
    ),
    "goyal2017": (
        "Accurate, large minibatch SGD: training ImageNet in 1 hour",
        "Goyal, Priya and Doll{\\'a}r, Piotr and Girshick, Ross and Noordhuis, Pieter and "
        "Wesolowski, Lukasz and Kyrola, Aapo and Tulloch, Andrew and Jia, Yangqing and "
        "He, Kaiming",
        2017,
        "1706.02677",
        "",
    ),
    "hu2024": (
        "MiniCPM: unveiling the potential of small language models with scalable training "
        "strategies",
        "Hu, Shengding and others",
        2024,
        "2404.06395",
        "",
    ),
    "smith2018": (
        "Don't decay the learning rate, increase the batch size",
        "Smith, Samuel L. and Kindermans, Pieter-Jan and Ying, Chris and Le, Quoc V.",
        2018,
        "1711.00489",
        "International Conference on Learning Representations",
    ),
}

_CITED: dict[str, tuple[str, ...]] = {
    "adabelief": ("zhuang2020",),
    "adadelta": ("zeiler2012",),
    "adagrad": ("duchi2011",),
    "adam": ("kingma2015",),
    "adamax": ("kingma2015",),
    "adamw": ("loshchilov2019", "kingma2015"),
    "amsgrad": ("reddi2018",),
    "lamb": ("you2020",),
    "lars": ("you2017",),
    "local_gains": ("hinton2012", "jacobs1988"),
    "nadam": ("dozat2016",),
    "nadamw": ("dozat2016", "loshchilov2019"),
    "qhadam": ("ma2019",),
    "qhadamw": ("ma2019", "loshchilov2019"),
    "qhm": ("ma2019",),
    "rmsprop": ("hinton2012", "graves2013"),
    "rprop": ("riedmiller1993", "igel2000"),
    "sgd": ("robbins1951", "polyak1964", "sutskever2013"),
    "sgdw": ("loshchilov2019",),
    "swats": ("keskar2017",),
    "batch_size_from": ("smith2018",),
    "cosine_decay": ("loshchilov2017",),
    "cyclic": ("smith2017",),
    "inverse_sqrt": ("vaswani2017",),
    "one_cycle": ("smith2019",),
    "one_cycle_momentum": ("smith2019",),
    "warm_restarts": ("loshchilov2017",),
    "warmup": ("goyal2017",),
    "warmup_stable_decay": ("hu2024",),
}


def citation(name: str) -> str:
    """BibTeX of the work behind an optimizer or a schedule.

    Args:
      name: of the constructor, `"adamw"` for example.

    Raises:
      KeyError: for a name that has no paper, listing those that have.

    Example:
      >>> from lropt_jax import citation
      >>> print(citation("swats"))
      @misc{keskar2017,
        title = {Improving generalization performance by switching from Adam to SGD},
        author = {Keskar, Nitish Shirish and Socher, Richard},
        year = {2017},
        eprint = {1712.07628},
        archiveprefix = {arXiv},
      }
    """
    if name not in _CITED:
        raise KeyError(f"no citation for {name!r}; there is one for {', '.join(sorted(_CITED))}")
    return "\n\n".join(_entry(key) for key in _CITED[name])


def _entry(key: str) -> str:
    title, author, year, eprint, venue = _WORKS[key]
    fields = {"title": title, "author": author, "year": str(year)}
    if venue:
        fields["howpublished"] = venue
    if eprint:
        fields |= {"eprint": eprint, "archiveprefix": "arXiv"}
    return "\n".join(["@misc{" + key + ",", *_lines(fields.items()), "}"])


def _lines(fields: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {name} = {{{value}}}," for name, value in fields]
