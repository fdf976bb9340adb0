//! What `sweep show losses` tells of each loss: formula, source, and the search space of the Reality Check.

use super::Loss;
use crate::Card;

impl Loss {
    /// The card of every loss, in the order of [`Loss::every`].
    pub const CARDS: &[Card] = &[
        Card::new(
            "contrastive",
            "mean+ [d_ap - pos_margin]+ ^power + mean+ [neg_margin - d_an]+ ^power, mean+ over terms above 0",
            "Hadsell, Chopra & LeCun, CVPR 2006",
            "pos_margin [-0.2, 2], neg_margin [-0.2, 2]",
        ),
        Card::new(
            "contrastive_dm",
            "1/n sum_a ( sum_p (1 - s_ap) + sum_n s_an where s_an > margin )",
            "Deep_Metric, research-ms-loss and research-xbm repositories",
            "",
        ),
        Card::new(
            "triplet",
            "mean+ [d_ap - d_an + margin]+; swap: d_an is min(d_an, d_pn); smooth: softplus",
            "Weinberger & Saul, JMLR 2009; Schroff et al., CVPR 2015",
            "margin [-0.2, 2]",
        ),
        Card::new(
            "lifted",
            "mean over positive pairs of [ log sum_n (e^(neg_margin - d_an) + e^(neg_margin - d_pn)) + d_ap - pos_margin ]+^2 / 2",
            "Oh Song et al., CVPR 2016",
            "",
        ),
        Card::new(
            "generalised_lifted",
            "mean over anchors of [ log sum_p e^(d_ap - pos_margin) + log sum_n e^(neg_margin - d_an) ]+",
            "Hermans, Beyer & Leibe, 2017",
            "",
        ),
        Card::new(
            "lifted_dm",
            "1/n sum_a ( 2/beta log sum_p e^(-beta s_ap) + 2/alpha log sum_n e^(alpha s_an) )",
            "Deep_Metric repository",
            "",
        ),
        Card::new(
            "binomial",
            "mean_p log(1 + e^(-alpha (s_ap - base))) + mean_n log(1 + e^(alpha cost (s_an - base)))",
            "Yi, Lei & Li, 2014",
            "",
        ),
        Card::new(
            "binomial_dm",
            "1/n sum_a ( mean_p log(1 + e^(-beta (s_ap - base))) + mean_n log(1 + e^(alpha (s_an - base))) )",
            "Deep_Metric repository",
            "",
        ),
        Card::new(
            "nca",
            "mean_a -log( sum_p e^(-scale d_ap^2) / sum_(k != a) e^(-scale d_ak^2) )",
            "Goldberger et al., NIPS 2004",
            "",
        ),
        Card::new(
            "nca_dm",
            "1/n sum_a -log( sum_p e^(alpha s_ap) / sum e^(alpha s) ) over the nearest neighbours",
            "Deep_Metric repository, its intent",
            "",
        ),
        Card::new(
            "semi_hard_dm",
            "2/beta log(1 + sum_p e^(-beta (s_ap - base))) + 2/alpha log(1 + sum_n e^(alpha (s_an - base))) over overlapping pairs",
            "Deep_Metric repository, its intent",
            "",
        ),
        Card::new(
            "multi_similarity",
            "mean_a 1/alpha log(1 + sum_p e^(-alpha (s_ap - base))) + 1/beta log(1 + sum_n e^(beta (s_an - base)))",
            "Wang et al., CVPR 2019",
            "alpha [0.01, 100], beta [0.01, 100], base [0, 1]; with its miner epsilon [0, 1]",
        ),
        Card::new(
            "nt_xent",
            "mean over positive pairs of -log( e^(s_ap/T) / (e^(s_ap/T) + sum_n e^(s_an/T)) )",
            "Sohn, NIPS 2016; Chen et al., ICML 2020",
            "temperature log [1e-5, 100]",
        ),
        Card::new(
            "sup_con",
            "mean+_a -1/P sum_p log( e^(s_ap/T) / sum_(k != a) e^(s_ak/T) )",
            "Khosla et al., NeurIPS 2020",
            "",
        ),
        Card::new(
            "circle",
            "mean+_a softplus( lse_n gamma [s_an + m]+ (s_an - m) + lse_p -gamma [1 + m - s_ap]+ (s_ap - 1 + m) )",
            "Sun et al., CVPR 2020",
            "",
        ),
        Card::new(
            "snr_contrastive",
            "contrastive on d(a, x) = var(a - x) / var(a)",
            "Yuan et al., CVPR 2019",
            "pos_margin [0, 2], neg_margin [0, 2], zero_mean regularizer [0, 1]",
        ),
        Card::new(
            "n_pair",
            "cross entropy of a p^T, one anchor and one positive of each class",
            "Sohn, NIPS 2016",
            "",
        ),
        Card::new(
            "angular",
            "mean over positive pairs of log(1 + sum_n e^(4 tan^2(alpha) (a + p) n - 2 (1 + tan^2(alpha)) a p))",
            "Wang et al., ICCV 2017",
            "",
        ),
        Card::new(
            "fast_ap",
            "1 - mean_a 1/P sum_bins h+ H+ / H of soft histograms of squared distances",
            "Cakir et al., CVPR 2019",
            "bins grid 2 to 32",
        ),
        Card::new(
            "histogram",
            "the probability that a random negative pair is more similar than a random positive one",
            "Ustinova & Lempitsky, NIPS 2016",
            "",
        ),
        Card::new(
            "smooth_ap",
            "1 - mean_a 1/P sum_p R+(p) / R(p), ranks by sigmoids of differences of similarities over temperature",
            "Brown et al., ECCV 2020",
            "",
        ),
        Card::new(
            "recall_at_k",
            "1 - mean over k and anchors of sum_p sigmoid((k - rank(p)) / k_temperature) / min(k, P)",
            "Patel, Tolias & Matas, CVPR 2022",
            "",
        ),
        Card::new(
            "hierarchical_triplet",
            "triplet with a margin that grows with the distance of the classes in a tree",
            "Ge et al., ECCV 2018",
            "",
        ),
        Card::new(
            "clustering",
            "[ max over medoids (F(S) + gamma margin(S, y)) - F of the true clustering ]+",
            "Oh Song et al., CVPR 2017",
            "",
        ),
        Card::new(
            "margin",
            "( sum [d_ap - beta + margin]+ + sum [beta - d_an + margin]+ + nu mean beta ) / pairs above 0",
            "Wu et al., ICCV 2017",
            "margin [-0.2, 2], beta [-0.2, 2], loss lr log [1e-6, 1]",
        ),
        Card::new(
            "proxy_nca",
            "mean_a -log softmax over classes of -scale |x - proxy|^2, the target's proxy included",
            "Movshovitz-Attias et al., ICCV 2017",
            "scale [0.01, 100], loss lr log [1e-6, 1]",
        ),
        Card::new(
            "proxy_nca_pp",
            "mean_a -log softmax over classes of -|x - proxy|^2 / temperature",
            "Teh, DeVries & Taylor, ECCV 2020",
            "",
        ),
        Card::new(
            "proxy_anchor",
            "1/P+ sum log(1 + sum_p e^(-alpha (s - margin))) + 1/C sum log(1 + sum_n e^(alpha (s + margin)))",
            "Kim et al., CVPR 2020",
            "",
        ),
        Card::new(
            "normalised_softmax",
            "cross entropy of cos(x, w) / temperature",
            "Zhai & Wu, BMVC 2019",
            "temperature log [0.01, 100], loss lr log [1e-6, 1]",
        ),
        Card::new(
            "cos_face",
            "cross entropy of scale (cos(x, w) - margin of the target)",
            "Wang et al., CVPR 2018",
            "margin [0, 1], scale [0.01, 200], loss lr log [1e-6, 1]",
        ),
        Card::new(
            "arc_face",
            "cross entropy of scale cos(angle(x, w) + margin of the target)",
            "Deng et al., CVPR 2019",
            "margin [0, 90] degrees, scale [0.01, 200], loss lr log [1e-6, 1]",
        ),
        Card::new(
            "soft_triple",
            "cross entropy of la (soft maximum over a class's centres of cos(x, w) - delta) + regulariser",
            "Qian et al., ICCV 2019",
            "la [0.01, 100], gamma [0.01, 100], regulariser [0, 1], delta [0, 1], loss lr log [1e-6, 1]",
        ),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_its_card() {
        let names: Vec<String> = Loss::every().iter().map(Loss::name).collect();
        let cards: Vec<&str> = Loss::CARDS.iter().map(|card| card.name).collect();
        assert_eq!(names, cards);
    }

    #[test]
    fn every_loss_is_read_from_its_name_alone() {
        for loss in Loss::every() {
            let bare = format!("{{\"{}\": {{}}}}", loss.name());
            assert_eq!(serde_json::from_str::<Loss>(&bare).unwrap(), loss);
        }
    }
}
