//! The papers whose methods Ashlar has or will have: one table, from which `reproduce --list`, the methods table of the
//! docs and the check of `[experiment] paper` are made.

use crate::library;

/// One paper.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// What `reproduce`, the experiment file and the docs call it.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The crate that has the method.
    pub krate: &'static str,
    /// What our experiment claims or, before there is one, what the paper does.
    pub claim: &'static str,
    /// How the scaled-down setting differs from the paper's; empty before there is an experiment.
    pub differs: &'static str,
}

impl Paper {
    /// Whether `reproduce` can run it: its experiment is in this binary.
    pub fn ready(&self) -> bool {
        library::find(self.name).is_some()
    }
}

/// The paper of this name.
pub fn find(name: &str) -> Option<&'static Paper> {
    PAPERS.iter().find(|paper| paper.name == name)
}

const fn planned(name: &'static str, title: &'static str, krate: &'static str, claim: &'static str) -> Paper {
    Paper { name, title, krate, claim, differs: "" }
}

/// All of them, in the order of the crates.
pub const PAPERS: &[Paper] = &[
    Paper {
        name: "fetchsgd",
        title: "FetchSGD: Communication-Efficient Federated Learning with Sketching",
        krate: "fl-core",
        claim: "With sketched gradients, error feedback and momentum on the server, accuracy stays within a few points of \
                uncompressed training at a fraction of the bytes",
        differs: "MNIST's 10,000 test images in place of CIFAR, FEMNIST and PersonaChat; an MLP of 50,890 parameters in \
                  place of ResNet-9 and GPT-2; 1,600 clients seen about ten times each",
    },
    Paper {
        name: "sparsefed",
        title: "SparseFed: Mitigating Model Poisoning Attacks in Federated Learning with Sparsification",
        krate: "fl-core",
        claim: "Clipping with a global top-k on the server lowers a backdoor's accuracy below clipping alone, at little \
                cost in main accuracy",
        differs: "an MLP on MNIST's 10,000 test images; 100 clients and a semantic backdoor (rotated fours) in place of \
                  thousands of clients on CIFAR-10 and FEMNIST",
    },
    Paper {
        name: "neurotoxin",
        title: "Neurotoxin: Durable Backdoors in Federated Learning",
        krate: "fl-core",
        claim: "The mechanism: the attacker's update is zero where honest updates are largest; how long the backdoor \
                lives is measured at matched strength and reported with its sign",
        differs: "an MLP on MNIST's 10,000 test images in place of LSTMs, GPT-2 and ResNets; the paper's gain in \
                  durability has not been seen at this scale, so it is measured and not claimed",
    },
    planned(
        "dp-randp",
        "Differentially Private Image Classification by Learning Priors from Random Processes",
        "dp-core",
        "Pretraining on synthetic random processes improves private image classification",
    ),
    planned(
        "linear-scaling",
        "A New Linear Scaling Rule for Private Adaptive Hyperparameter Optimization",
        "dp-core",
        "The best step budget grows linearly with ε, so cheap trials find hyperparameters for the final run",
    ),
    planned(
        "dp-zo",
        "Private Fine-tuning of Large Language Models with Zeroth-order Optimization",
        "dp-core",
        "Only the scalar of a zeroth-order step needs noise, which makes private fine-tuning cheap in memory",
    ),
    planned(
        "dp-icl",
        "Privacy-Preserving In-Context Learning for Large Language Models",
        "dp-core",
        "Private aggregation of answers over disjoint demonstrations keeps most of in-context learning's accuracy",
    ),
    planned(
        "speculating-experts",
        "Speculating Experts Accelerates Inference for Mixture-of-Experts",
        "moe-offload",
        "Prefetching predicted experts hides transfers and lowers the time per token against on-demand loading",
    ),
    planned(
        "default-moe",
        "Dense Backpropagation Improves Training for Sparse Mixture-of-Experts",
        "moe-offload",
        "Default outputs for inactive experts bring the router's gradient closer to the dense one",
    ),
    planned(
        "cpt-moe",
        "Continual Pre-training of MoEs: How robust is your router?",
        "moe-offload",
        "Routers stay balanced under continual pretraining, even without replay",
    ),
    planned(
        "mtp",
        "Multi-Token Prediction via Self-Distillation",
        "moe-offload",
        "A model distilled from itself predicts several tokens a step with a small loss in quality",
    ),
    planned(
        "aapp",
        "Alignment-Constrained Dynamic Pruning for LLMs: Identifying and Preserving Alignment-Critical Circuits",
        "moe-offload",
        "Pruning that spares alignment-critical circuits keeps refusals at equal sparsity",
    ),
    planned(
        "lori",
        "LoRI: Reducing Cross-Task Interference in Multi-Task Low-Rank Adaptation",
        "sparse-adapt",
        "Frozen random projections and sparse factors make adapters interfere less when merged",
    ),
    planned(
        "lota",
        "Lottery Ticket Adaptation: Mitigating Destructive Interference in LLMs",
        "sparse-adapt",
        "Training a sparse ticket alone keeps earlier tasks and shrinks the delta",
    ),
    planned(
        "few-bad-neurons",
        "A Few Bad Neurons: Isolating and Surgically Correcting Sycophancy",
        "sparse-adapt",
        "Training a few isolated neurons lowers sycophancy",
    ),
    planned(
        "em-subspaces",
        "Shared Parameter Subspaces and Cross-Task Linearity in Emergently Misaligned Behavior",
        "sparse-adapt",
        "Fine-tunes that misalign share a parameter subspace and mix linearly",
    ),
    planned(
        "safety-depth",
        "Safety Alignment Should Be Made More Than Just a Few Tokens Deep",
        "sparse-adapt",
        "Alignment sits in the first tokens; deeper alignment and a constrained loss resist attacks",
    ),
    planned(
        "frit",
        "FRIT: Using Causal Importance to Improve Chain-of-Thought Faithfulness",
        "sparse-adapt",
        "Preference training on causally tested steps makes reasoning more faithful",
    ),
    planned(
        "als",
        "Amortized Latent Steering: Low-Cost Alternative to Test-Time Optimization",
        "steering",
        "One precomputed direction replaces iterative latent optimisation at test time",
    ),
    planned(
        "salt",
        "SALT: Steering Activations towards Leakage-free Thinking in Chain of Thought",
        "steering",
        "Steering hidden states lowers leakage of private facts in reasoning",
    ),
    planned(
        "refusal-tokens",
        "Refusal Tokens: A Simple Way to Calibrate Refusals in Large Language Models",
        "steering",
        "A token decided first lets the refusal rate be set after training",
    ),
    planned(
        "refusal-control",
        "From Refusal Tokens to Refusal Control: Discovering and Steering Category-Specific Refusal Directions",
        "steering",
        "Directions a refusal category lower over-refusal and keep harmful refusals",
    ),
    planned(
        "privacy-audit",
        "Privacy Auditing of Large Language Models",
        "audit",
        "Designed canaries make membership tests, hence lower bounds on ε, much stronger",
    ),
    planned(
        "phishing",
        "Teach LLMs to Phish: Stealing Private Information from Language Models",
        "audit",
        "A few poisons in pretraining make a model give away secrets it is later fine-tuned on",
    ),
    planned(
        "visual-adversarial",
        "Visual Adversarial Examples Jailbreak Aligned Large Language Models",
        "audit",
        "One optimised image makes an aligned vision-language model follow what it refuses",
    ),
    planned(
        "evaluation-awareness",
        "Evaluation Awareness Scales Predictably in Open-Weights Large Language Models",
        "eval",
        "Probes for evaluation awareness follow a power law in model size",
    ),
    planned(
        "em-icl",
        "Emergent Misalignment via In-Context Learning",
        "eval",
        "Narrow bad examples in the context produce broadly misaligned answers",
    ),
    Paper {
        name: "gemstones",
        title: "Gemstones: A Model Suite for Multi-Faceted Scaling Laws",
        krate: "eval",
        claim: "Fitted scaling laws depend on the models and the learning-rate schedule that they are fitted on: the \
                published fits recomputed, exponents over every table, and true optima of the parametric laws",
        differs: "the paper's own loss tables, so no model is trained; laws of four variables from 4,000 starts in place \
                  of 4.05 million, and only with --full",
    },
    planned(
        "inactive-heads",
        "Identifying and Evaluating Inactive Heads in Pretrained LLMs",
        "eval",
        "Scores other than first-token attention find more heads that can be removed without loss",
    ),
    planned(
        "vdit-attention",
        "Analysis of Attention in Video Diffusion Transformers",
        "eval",
        "Attention of video diffusion transformers has structure, sparsity and sinks that can be measured",
    ),
    planned(
        "finegrain",
        "FineGRAIN: Evaluating Failure Modes of Text-to-Image Models with Vision Language Model Judges",
        "eval",
        "Judges that ask about one failure mode at a time agree better with people",
    ),
    planned(
        "multi-turn",
        "Modeling and Predicting Multi-Turn Answer Instability in Large Language Models",
        "eval",
        "A two-state Markov chain predicts accuracy over repeated turns",
    ),
    planned(
        "dynaguard",
        "DynaGuard: A Dynamic Guardian Model With User-Defined Policies",
        "eval",
        "A guardian model judges dialogues against policies given at run time",
    ),
];

/// The page of the documentation that lists all methods; a test holds the committed page against it.
pub fn methods_page() -> String {
    let ready = PAPERS.iter().filter(|paper| paper.ready()).count();
    let mut page = format!(
        "# Methods\n\nOne table in the code says what is built; this page is made from it.\n{ready} of {} papers have an \
         experiment that `ashlar reproduce NAME` runs.\n\n| name | paper | crate | built | what the experiment claims, and \
         how its setting differs |\n|---|---|---|---|---|\n",
        PAPERS.len()
    );
    for paper in PAPERS {
        let built = if paper.ready() { "yes" } else { "no" };
        let differs = if paper.differs.is_empty() { String::new() } else { format!(" *Differs:* {}.", paper.differs) };
        page.push_str(&format!(
            "| `{}` | {} | {} | {built} | {}.{differs} |\n",
            paper.name, paper.title, paper.krate, paper.claim
        ));
    }
    page
}
