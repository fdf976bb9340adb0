//! The tree of shortest steps between classes (a minimum spanning tree): it joins any two classes by the smallest largest
//! step, directly or by way of others.

/// A minimum spanning tree of classes.
#[derive(Debug)]
pub(crate) struct SpanningTree {
    /// C - 1 steps, the shortest first.
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    length: f64,
    between: [usize; 2],
}

impl SpanningTree {
    /// Returns the tree of this number of classes, which grows from class 0, always by the class that is closest to it
    /// (Prim's algorithm). `row` returns the distances of all classes from one, and is called once for each.
    pub(crate) fn new(classes: usize, mut row: impl FnMut(usize) -> Vec<f64>) -> SpanningTree {
        let mut steps = Vec::new();
        if classes > 0 {
            let mut outside = candidates(&row(0));
            while let Some(next) = take_closest(&mut outside) {
                let distances = row(next.class);
                for candidate in &mut outside {
                    candidate.may_join(next.class, distances[candidate.class]);
                }
                steps.push(next.step());
            }
        }
        steps.sort_by(|one, other| one.length.total_cmp(&other.length));
        SpanningTree { steps }
    }

    /// Returns for each two of these classes the height at which the tree joins them, the largest step on the way from
    /// one to the other; 0 for a class and itself.
    pub(crate) fn heights(&self, classes: &[usize]) -> Vec<Vec<f64>> {
        let mut heights = vec![vec![0.0; classes.len()]; classes.len()];
        let mut groups = Groups::new(self.steps.len() + 1, classes);
        for step in &self.steps {
            for (one, other) in groups.join(step.between) {
                heights[one][other] = step.length;
                heights[other][one] = step.length;
            }
        }
        heights
    }
}

/// A class outside a growing tree.
struct Candidate {
    class: usize,
    /// The closest class of the tree, and the distance from it.
    parent: usize,
    distance: f64,
}

impl Candidate {
    fn may_join(&mut self, parent: usize, distance: f64) {
        if distance < self.distance {
            self.parent = parent;
            self.distance = distance;
        }
    }

    fn step(self) -> Step {
        Step {
            length: self.distance,
            between: [self.parent, self.class],
        }
    }
}

/// Returns all classes but class 0, given their distances from it.
fn candidates(distances: &[f64]) -> Vec<Candidate> {
    let of_class = |class: usize| Candidate {
        class,
        parent: 0,
        distance: distances[class],
    };
    (1..distances.len()).map(of_class).collect()
}

/// Removes and returns the candidate that is closest to the tree, the first one of equals.
fn take_closest(outside: &mut Vec<Candidate>) -> Option<Candidate> {
    let distance = |place: &usize| outside[*place].distance;
    let closest =
        (0..outside.len()).min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
    Some(outside.remove(closest))
}

/// Groups of classes that steps have joined so far (a union-find structure), and some classes that are watched in them.
struct Groups {
    /// The parent of each class; a root is its own.
    parents: Vec<usize>,
    /// The watched classes in the group of each root, by their place among those watched.
    watched: Vec<Vec<usize>>,
}

impl Groups {
    fn new(classes: usize, watched: &[usize]) -> Groups {
        let mut groups = Groups {
            parents: (0..classes).collect(),
            watched: vec![Vec::new(); classes],
        };
        for (place, &class) in watched.iter().enumerate() {
            groups.watched[class].push(place);
        }
        groups
    }

    fn root(&mut self, mut class: usize) -> usize {
        while self.parents[class] != class {
            self.parents[class] = self.parents[self.parents[class]];
            class = self.parents[class];
        }
        class
    }

    /// Joins the groups of two classes. Returns the pairs of watched classes that are in one group only now.
    fn join(&mut self, between: [usize; 2]) -> Vec<(usize, usize)> {
        let [into, from] = between.map(|class| self.root(class));
        let joining = std::mem::take(&mut self.watched[from]);
        let there = &mut self.watched[into];
        let met = there
            .iter()
            .flat_map(|&one| joining.iter().map(move |&other| (one, other)))
            .collect();
        there.extend(joining);
        self.parents[from] = into;
        met
    }
}
