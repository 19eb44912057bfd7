//! Settings and rules that must not quietly mean something else.

use ashlar_fl_core::{Error, config::RunConfig};

use crate::{config, records, simulation};

/// Whether the settings are refused with a conflict of these two keys.
fn conflicts(config: &RunConfig, keys: (&str, &str)) -> bool {
    config.problems().iter().any(|problem| match problem {
        Error::Conflict { first, second, .. } => (*first, *second) == keys,
        _ => false,
    })
}

const SPARSEFED: &str = "[server]\nmode = 'sparsefed'\nk = 500\nrounds = 3\n[clip]\nl2 = 1.0\n";

#[test]
fn a_certificate_covers_the_attackers_that_a_share_can_put_into_a_round() {
    let bound = |more: &str| records(&config(&format!("{SPARSEFED}{more}")), 2)[0].certificate_l1.unwrap();
    let attack = "[attack]\nname = 'baseline'\nrounds = 1\nstart = 2\nattackers = 1\n";
    let ten = bound(&format!("{attack}fraction = 0.4"));
    assert!(ten > bound(attack));
    assert_eq!(ten, bound(&format!("{attack}fraction = 0.9")), "no more than per_round");
}

#[test]
fn there_is_no_certificate_for_a_rule_in_place_of_the_mean() {
    let attack = "[attack]\nname = 'baseline'\nrounds = 1\nstart = 2\n";
    let of_median = config(&format!("{SPARSEFED}{attack}[defence]\nname = 'median'"));
    assert!(records(&of_median, 2).iter().all(|record| record.certificate_l1.is_none()));
    let mut asked = of_median;
    asked.server.certify = Some(2);
    assert!(conflicts(&asked, ("server.certify", "defence.name")));
}
