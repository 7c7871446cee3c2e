"""The factual-recall language: invented people, eight relations, six phrasings of each, the answer last.

A sentence is OPENER + PHRASING + ANSWER + ".", for example

    It is said that Mira Dovan lives in the city of Talmorra.

A person is a first name and a surname. Both are shared with other people, so a fact belongs to the pair and to neither
name alone. Some openers name a second person, who has nothing to do with the answer. Everything follows from one seed.

Held-out protocol. Every fact (person, relation) is in the training text. For half of the facts two of the six phrasings
are never used in training; those phrasings occur with other people. `held_out` lists exactly these (person, relation,
phrasing) triples, and all evaluation is on them.
"""
import random

OPENERS = ["Today", "Now", "In fact", "Note that", "We know that", "It is said that", "As everyone knows,",
           "The old records show that", "Like {other},", "As {other} told us,"]

CITIES = ("Talmorra Vesk Ondrel Karth Belune Sorvia Ilmadar Quent Pradova Nimbria Hesk Ostrava Lundel Marrow Tiverna Askel "
          "Drovane Elmira Fenwick Galdor Jorun Kestrel Rivane Uldara").split()
LANGUAGES = "Adric Borean Celtan Dromic Estish Faldic Gorian Heskan Idric Jovian Keldic Lorish Mentic Norric Orcan Pelish".split()

# relation -> (answers, six phrasings with {s} for the subject)
RELATIONS = {
    "home": (CITIES, [
        "{s} lives in the city of", "the home of {s} is in", "{s} has a house in", "to meet {s} you must go to",
        "the place where {s} lives is", "letters for {s} are sent to"]),
    "birthplace": (CITIES, [
        "{s} was born in", "the birthplace of {s} is", "{s} first saw the light in", "the mother of {s} gave birth in",
        "{s} came into the world in", "the town where {s} was born is"]),
    "job": ("baker smith tailor miner potter sailor weaver lawyer doctor painter farmer guard cook teacher judge mason driver "
            "hunter clerk barber".split(), [
        "{s} works as a", "the trade of {s} is that of a", "by day {s} is a", "{s} earns a living as a",
        "the guild lists {s} as a", "{s} was hired as a"]),
    "language": (LANGUAGES, [
        "{s} speaks", "the mother tongue of {s} is", "at home {s} talks in", "{s} writes letters in",
        "the prayers of {s} are in", "to talk with {s} you must learn"]),
    "instrument": ("flute drum harp violin piano guitar trumpet cello banjo horn lute organ fiddle oboe tuba viola".split(), [
        "{s} plays the", "in the band {s} is on the", "the instrument of {s} is the", "{s} has learned to play the",
        "at the feast {s} was heard on the", "all music by {s} is for the"]),
    "pet": ("dog cat horse parrot rabbit snake goat turtle monkey pony duck goose falcon ferret hamster lizard pigeon sheep "
            "donkey mouse".split(), [
        "{s} owns a", "the pet of {s} is a", "{s} is followed by a", "in the garden {s} keeps a",
        "{s} feeds and walks a", "the animal that {s} loves is a"]),
    "food": ("bread cheese soup rice beans apples plums honey fish cake noodles olives carrots berries mushrooms pears onions "
             "pasta eggs nuts".split(), [
        "{s} likes to eat", "the favourite dish of {s} is", "for dinner {s} always wants", "{s} never says no to",
        "the plate of {s} is full of", "at the market {s} buys"]),
    "colour": ("red blue green yellow black white brown grey purple orange pink gold silver scarlet violet crimson".split(), [
        "{s} always wears", "the favourite colour of {s} is", "the coat of {s} is", "{s} paints every wall",
        "the door of {s} has been painted", "of all colours {s} chooses"]),
}
NAMES = list(RELATIONS)
PHRASINGS = 6
HELD_PER_FACT = 2

FIRST_ONSETS, FIRST_ENDS = "Mi Ta Lo Ve Ka Su Ri Do".split(), "ra len mo vi".split()
LAST_ONSETS, LAST_ENDS = "Dor Bal Wen Har Cas Fel Gim Pol".split(), "van tik gard low".split()


class Draw:
    """Whole numbers from random.Random's random(), whose values do not change between Python versions."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def below(self, n):
        return int(self.rng.random() * n)

    def sample(self, items, k):
        items = list(items)
        for i in range(k):
            j = i + self.below(len(items) - i)
            items[i], items[j] = items[j], items[i]
        return items[:k]


class Language:
    def __init__(self, seed=1, subjects=240):
        draw = Draw(f"iolaus-recall-{seed}")
        first = [a + b for a in FIRST_ONSETS for b in FIRST_ENDS]
        last = [a + b for a in LAST_ONSETS for b in LAST_ENDS]
        self.seed = seed
        self.subjects = draw.sample([f"{f} {s}" for f in first for s in last], subjects)
        self.names = first + last
        # answer[s][r]: text; held[s][r]: phrasings of this fact kept out of training
        self.answer = [[RELATIONS[r][0][draw.below(len(RELATIONS[r][0]))] for r in NAMES] for _ in self.subjects]
        facts = [(s, r) for s in range(subjects) for r in range(len(NAMES))]
        self.held = {fact: sorted(draw.sample(range(PHRASINGS), HELD_PER_FACT)) for fact in draw.sample(facts, len(facts) // 2)}
        self.facts = facts
        self.held_out = [(s, r, p) for (s, r) in facts for p in self.held.get((s, r), [])]
        self.train = [(s, r, p) for (s, r) in facts for p in range(PHRASINGS) if p not in self.held.get((s, r), [])]

    def prompt(self, s, r, p, draw):
        """Text up to the answer; the opener, and the other person in it, are drawn."""
        opener = OPENERS[draw.below(len(OPENERS))]
        other = draw.below(len(self.subjects) - 1)
        other += other >= s
        text = opener + " " + RELATIONS[NAMES[r]][1][p]
        return text.replace("{s}", self.subjects[s]).replace("{other}", self.subjects[other])

    def words(self):
        """Every word as the tokenizer meets it: the first of a sentence bare, others with the space before them."""
        bare = {o.split()[0].rstrip(",") for o in OPENERS if not o.startswith("{")}
        text = [" ".join(o.split()[1:]) for o in OPENERS] + self.names
        for answers, phrasings in RELATIONS.values():
            text += answers + phrasings
        spaced = {w.strip(",") for t in text for w in t.split() if "{" not in w}
        return sorted(bare) + [" " + w for w in sorted(spaced)]
