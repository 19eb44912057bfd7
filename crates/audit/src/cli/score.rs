//! `audit score`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::scores_file;
use crate::scores::{
    LiraOffline, LiraOnline, Loss, MinK, MinKPlusPlus, Neighbourhood, Ratio, Recall, Rmia, Score, Signals, TokenStats,
    Zlib, quantile_score, zlib::compressed_len,
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar audit score --method min-k --log-probs=-0.1,-2.3,-0.7,-5.0,-1.1 --k 0.2
  ashlar audit score --method zlib --log-probs=-1.2,-0.3 --text sentence.txt
  ashlar audit score --method lira-online --observed 3.1 --in=2.9,3.4,3.0 --out=1.1,0.7,1.6";

/// A comma-separated list in one flag.
type List = Vec<f64>;

/// Which score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreMethod {
    /// Mean log-probability.
    Loss,
    /// Mean log-probability beyond a reference model's.
    Ratio,
    /// Mean log-probability by zlib bytes.
    Zlib,
    /// Mean of the least likely tokens.
    MinK,
    /// The same, each token standardised over the vocabulary.
    MinKPp,
    /// Mean log-probability beyond that of perturbed texts.
    Neighbourhood,
    /// Loss of likelihood after a prefix of non-members.
    Recall,
    /// Likelihood ratio of shadow models with and without the example.
    LiraOnline,
    /// Normal CDF among shadow models without the example.
    LiraOffline,
    /// Share of a population that the example beats, relative to reference models.
    Rmia,
    /// Statistic beyond its predicted quantile.
    Quantile,
}

/// A method's flags: those it can't do without, and those that it takes.
struct Flags {
    method: ScoreMethod,
    needs: &'static [&'static str],
    takes: &'static [&'static str],
}

const FLAGS: &[Flags] = &[
    Flags { method: ScoreMethod::Loss, needs: &["log-probs"], takes: &[] },
    Flags { method: ScoreMethod::Ratio, needs: &["log-probs", "reference-log-probs"], takes: &[] },
    Flags { method: ScoreMethod::Zlib, needs: &["log-probs"], takes: &["zlib-bytes", "text"] },
    Flags { method: ScoreMethod::MinK, needs: &["log-probs"], takes: &["k"] },
    Flags { method: ScoreMethod::MinKPp, needs: &["log-probs", "mu", "sigma"], takes: &["k"] },
    Flags { method: ScoreMethod::Neighbourhood, needs: &["log-probs", "neighbour-means"], takes: &[] },
    Flags { method: ScoreMethod::Recall, needs: &["log-probs", "conditional-log-probs"], takes: &[] },
    Flags { method: ScoreMethod::LiraOnline, needs: &["observed", "in", "out"], takes: &[] },
    Flags { method: ScoreMethod::LiraOffline, needs: &["observed", "out"], takes: &["in"] },
    Flags {
        method: ScoreMethod::Rmia,
        needs: &["target-prob", "ref-out-prob", "population-target-probs", "population-ref-out-probs", "offline-a"],
        takes: &["gamma"],
    },
    Flags { method: ScoreMethod::Quantile, needs: &["observed", "quantile"], takes: &[] },
];

/// `audit score`.
#[derive(Args, Clone, Debug)]
pub struct ScoreArgs {
    /// Which score.
    #[arg(long, value_enum, value_name = "METHOD")]
    pub method: ScoreMethod,
    /// Natural log-probabilities of the text's tokens (loss, ratio, zlib, min-k, min-k-pp, neighbourhood, recall).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub log_probs: Option<List>,
    /// Share of tokens that count, in (0, 1] [default: 0.2] (min-k, min-k-pp).
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    pub k: Option<f64>,
    /// Mean of log p over the vocabulary at each token (min-k-pp).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub mu: Option<List>,
    /// Standard deviation of log p over the vocabulary at each token (min-k-pp).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub sigma: Option<List>,
    /// Log-probabilities of the text under a reference model (ratio).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub reference_log_probs: Option<List>,
    /// Log-probabilities of the text's tokens after a prefix of non-members (recall).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub conditional_log_probs: Option<List>,
    /// Mean log-probability of each of at least 25 perturbed texts (neighbourhood).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub neighbour_means: Option<List>,
    /// Length of the text under stock zlib at level 6 (zlib).
    #[arg(long, value_name = "N", value_parser = scores_file::parse_count, allow_hyphen_values = true)]
    pub zlib_bytes: Option<u64>,
    /// File with the text, to have that length computed (zlib).
    #[arg(long, value_name = "FILE", conflicts_with = "zlib_bytes")]
    pub text: Option<PathBuf>,
    /// The target model's statistic (lira-online, lira-offline, quantile).
    #[arg(long, value_name = "PHI", allow_hyphen_values = true)]
    pub observed: Option<f64>,
    /// Statistics of shadow models trained with the example (lira-online).
    #[arg(long = "in", value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub inside: Option<List>,
    /// Statistics of shadow models trained without it (lira-online, lira-offline).
    #[arg(long = "out", value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub outside: Option<List>,
    /// The predicted quantile of a non-member's statistic (quantile).
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    pub quantile: Option<f64>,
    /// Probability under the target model (rmia).
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub target_prob: Option<f64>,
    /// Mean probability under reference models trained without the example (rmia).
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub ref_out_prob: Option<f64>,
    /// The population's probabilities under the target model (rmia).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub population_target_probs: Option<List>,
    /// The population's mean probabilities under the reference models (rmia).
    #[arg(long, value_name = "LIST", value_parser = scores_file::parse_list, allow_hyphen_values = true)]
    pub population_ref_out_probs: Option<List>,
    /// How far a mean over "out" models stands for one over all, in [0, 1] (rmia).
    #[arg(long, value_name = "A", allow_hyphen_values = true)]
    pub offline_a: Option<f64>,
    /// By which factor a member must beat a population point, above 0 [default: 1] (rmia).
    #[arg(long, value_name = "GAMMA", allow_hyphen_values = true)]
    pub gamma: Option<f64>,
    /// Accepted as by every command; a score draws nothing.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl ScoreArgs {
    fn given(&self) -> [(&'static str, bool); 19] {
        [
            ("log-probs", self.log_probs.is_some()),
            ("k", self.k.is_some()),
            ("mu", self.mu.is_some()),
            ("sigma", self.sigma.is_some()),
            ("reference-log-probs", self.reference_log_probs.is_some()),
            ("conditional-log-probs", self.conditional_log_probs.is_some()),
            ("neighbour-means", self.neighbour_means.is_some()),
            ("zlib-bytes", self.zlib_bytes.is_some()),
            ("text", self.text.is_some()),
            ("observed", self.observed.is_some()),
            ("in", self.inside.is_some()),
            ("out", self.outside.is_some()),
            ("quantile", self.quantile.is_some()),
            ("target-prob", self.target_prob.is_some()),
            ("ref-out-prob", self.ref_out_prob.is_some()),
            ("population-target-probs", self.population_target_probs.is_some()),
            ("population-ref-out-probs", self.population_ref_out_probs.is_some()),
            ("offline-a", self.offline_a.is_some()),
            ("gamma", self.gamma.is_some()),
        ]
    }

    /// Names what is missing and what doesn't belong.
    fn check(&self, name: &str) -> Result<(), Failure> {
        let Some(flags) = FLAGS.iter().find(|flags| flags.method == self.method) else { return Ok(()) };
        let given = self.given();
        let is_given = |flag: &str| given.iter().any(|(name, is)| *name == flag && *is);
        let missing: Vec<String> =
            flags.needs.iter().filter(|flag| !is_given(flag)).map(|flag| format!("--{flag}")).collect();
        if !missing.is_empty() {
            return Err(Failure::usage(format!("--method {name} needs {}", missing.join(", "))));
        }
        if self.method == ScoreMethod::Zlib && !is_given("zlib-bytes") && !is_given("text") {
            return Err(Failure::usage("--method zlib needs --zlib-bytes, or --text to compute them"));
        }
        let foreign = given.iter().find(|(flag, is)| *is && !flags.needs.contains(flag) && !flags.takes.contains(flag));
        match foreign {
            Some((flag, _)) => Err(Failure::usage(format!("--{flag} has no meaning with --method {name}"))),
            None => Ok(()),
        }
    }

    fn token_stats(&self) -> TokenStats {
        TokenStats {
            log_probs: self.log_probs.clone().unwrap_or_default(),
            mu: self.mu.clone(),
            sigma: self.sigma.clone(),
            reference_log_probs: self.reference_log_probs.clone(),
            conditional_log_probs: self.conditional_log_probs.clone(),
            neighbour_means: self.neighbour_means.clone(),
            zlib_bytes: self.zlib_bytes,
        }
    }

    fn score(&self, stats: &TokenStats) -> crate::Result<f64> {
        // `check` has seen that what a method needs is there.
        let number = |flag: Option<f64>| flag.unwrap_or(f64::NAN);
        let list = |flag: &Option<List>| flag.clone().unwrap_or_default();
        match self.method {
            ScoreMethod::Loss => Loss.score(stats),
            ScoreMethod::Ratio => Ratio.score(stats),
            ScoreMethod::Zlib => Zlib.score(stats),
            ScoreMethod::MinK => MinK { k: self.k.unwrap_or(MinK::default().k) }.score(stats),
            ScoreMethod::MinKPp => MinKPlusPlus { k: self.k.unwrap_or(MinKPlusPlus::default().k) }.score(stats),
            ScoreMethod::Neighbourhood => Neighbourhood.score(stats),
            ScoreMethod::Recall => Recall.score(stats),
            ScoreMethod::LiraOnline => {
                LiraOnline::fit(&list(&self.inside), &list(&self.outside))?.score(number(self.observed))
            }
            ScoreMethod::LiraOffline => LiraOffline::fit(&list(&self.outside))?.score(number(self.observed)),
            ScoreMethod::Rmia => {
                let population = Signals {
                    target: list(&self.population_target_probs),
                    ref_out: list(&self.population_ref_out_probs),
                };
                Rmia::new(&population, number(self.offline_a), self.gamma.unwrap_or(Rmia::GAMMA))?
                    .score(number(self.target_prob), number(self.ref_out_prob))
            }
            ScoreMethod::Quantile => quantile_score(number(self.observed), number(self.quantile)),
        }
    }
}

pub(super) fn run(args: &ScoreArgs) -> Result<Answer, Failure> {
    let method = args.method.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    args.check(&method)?;
    let mut stats = args.token_stats();
    if let Some(file) = &args.text {
        let text = std::fs::read(file).map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
        stats.zlib_bytes = Some(compressed_len(&text));
    }
    let score = args.score(&stats)?;
    let mut json = json!({ "score": score, "method": method });
    let mut text = format!("{method} score {score} (higher = more likely a member)");
    if let Some(bytes) = stats.zlib_bytes {
        json["zlib_bytes"] = bytes.into();
        text.push_str(&format!("\nzlib bytes {bytes}"));
    }
    Ok(Answer::new(json, text))
}
