// The facts of the embedded world as plain tables: who knows whom, what is what. It does not know how a question or an
// answer is worded (phrases.ts) nor how they are put together (grammar.ts).

/** Each pair is used in both directions. */
export const OPPOSITES = pairs(`
  hot cold, big small, up down, left right, day night, old young, fast slow, happy sad, good bad, open closed, long short,
  light dark, hard soft, wet dry, full empty, high low, rich poor, strong weak, thick thin, early late, near far,
  clean dirty, loud quiet, first last, true false, wide narrow, sweet sour, black white, push pull, win lose,
  start stop, come go, give take, buy sell, love hate, always never, before after, inside outside, front back,
  yes no, friend enemy, easy difficult, summer winter
`);

/** Other answers a fair judge has to let pass; the world itself never says them. */
export const ALSO_OPPOSITE: Record<string, string[]> = {
  hard: ["easy"],
  easy: ["hard"],
  light: ["heavy"],
  right: ["wrong"],
  old: ["new"],
  short: ["tall"],
  big: ["little"],
  start: ["end", "finish"],
  go: ["stop"],
  stop: ["go"],
  sweet: ["bitter"],
};

/** Country, capital, continent. */
export const COUNTRIES = rows(`
  France Paris Europe, Italy Rome Europe, Spain Madrid Europe, Germany Berlin Europe, Portugal Lisbon Europe,
  Greece Athens Europe, Austria Vienna Europe, Poland Warsaw Europe, Norway Oslo Europe, Sweden Stockholm Europe,
  Finland Helsinki Europe, Denmark Copenhagen Europe, Ireland Dublin Europe, England London Europe,
  Scotland Edinburgh Europe, Hungary Budapest Europe, Belgium Brussels Europe, Iceland Reykjavik Europe,
  Croatia Zagreb Europe, Romania Bucharest Europe, Ukraine Kyiv Europe, Japan Tokyo Asia, China Beijing Asia,
  India Delhi Asia, Thailand Bangkok Asia, Vietnam Hanoi Asia, Nepal Kathmandu Asia, Iran Tehran Asia, Iraq Baghdad Asia,
  Egypt Cairo Africa, Kenya Nairobi Africa, Ghana Accra Africa, Morocco Rabat Africa, Senegal Dakar Africa,
  Canada Ottawa America, Cuba Havana America, Peru Lima America, Chile Santiago America, Brazil Brasilia America,
  Australia Canberra Oceania, Fiji Suva Oceania
`);

/** A thing as one says it after "the colour of", and its colours; the first is the one the world itself says. */
export const COLOURS = table(`
  a banana: yellow | a lemon: yellow | an apple: red green | a cherry: red | a tomato: red | a carrot: orange |
  an orange: orange | a pumpkin: orange | grass: green | a frog: green | a cucumber: green | a pea: green | the sky: blue |
  the sea: blue | snow: white | milk: white | a swan: white | salt: white | rice: white | coal: black | the night: black |
  a crow: black | blood: red | fire: red orange | the sun: yellow | butter: yellow | chocolate: brown | a bear: brown |
  wood: brown | an elephant: grey | a mouse: grey | a pig: pink | a plum: purple | a grape: purple green
`);

export const PLURALS = pairs(`
  cat cats, dog dogs, cow cows, horse horses, pig pigs, frog frogs, duck ducks, bear bears, book books, house houses,
  tree trees, car cars, hand hands, girl girls, boy boys, friend friends, egg eggs, cake cakes, box boxes, bus buses,
  fox foxes, glass glasses, city cities, baby babies, lady ladies, cherry cherries, leaf leaves, knife knives, wolf wolves,
  wife wives, mouse mice, foot feet, tooth teeth, goose geese, man men, woman women, child children, person people,
  sheep sheep, fish fish, tomato tomatoes, potato potatoes
`);

/** The sound a grown animal makes. */
export const SOUNDS = pairs(`
  cow moo, dog woof, cat meow, sheep baa, duck quack, pig oink, horse neigh, lion roar, mouse squeak, bee buzz,
  snake hiss, frog croak, bird tweet, wolf howl, crow caw, goose honk
`);

export const BABIES = pairs(`
  cow calf, dog puppy, cat kitten, sheep lamb, horse foal, pig piglet, duck duckling, goose gosling, bear cub, lion cub,
  wolf pup, frog tadpole, goat kid, kangaroo joey, bird chick, deer fawn, elephant calf, whale calf
`);

export const LEGS = pairs(`
  cow 4, dog 4, cat 4, sheep 4, duck 2, pig 4, horse 4, lion 4, mouse 4, bee 6, snake 0, frog 4, bird 2, wolf 4,
  spider 8, ant 6, fish 0, goat 4, elephant 4, whale 0, chicken 2, crab 10, owl 2, fly 6, swan 2
`);

/** What kind of thing each of these is, said with its article. */
export const KINDS = table(`
  a cow: an animal | a dog: an animal | a cat: an animal | a sheep: an animal | a pig: an animal | a horse: an animal |
  a lion: an animal | a mouse: an animal | a wolf: an animal | an elephant: an animal | a duck: a bird | a swan: a bird |
  a crow: a bird | an owl: a bird | a goose: a bird | an apple: a fruit | a banana: a fruit | a cherry: a fruit |
  a grape: a fruit | a lemon: a fruit | an orange: a fruit | a plum: a fruit | France: a country | Italy: a country |
  Spain: a country | Japan: a country | Egypt: a country | Kenya: a country | Peru: a country | Canada: a country |
  Paris: a city | Rome: a city | Berlin: a city | Tokyo: a city | London: a city | Cairo: a city | Monday: a day |
  Friday: a day | Sunday: a day | May: a month | June: a month | July: a month | red: a colour | blue: a colour |
  green: a colour | pink: a colour
`);

export const DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(" ");
export const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
export const LETTERS = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];

function rows(text: string): string[][] {
  return text.trim().split(/,\s*/).map((row) => row.trim().split(/\s+/));
}

function pairs(text: string): [string, string][] {
  return rows(text).map(([a, b]) => [a ?? "", b ?? ""]);
}

/** "a banana: yellow | …"; several answers that are each one word stand one after the other, an article joins its noun. */
function table(text: string): { entity: string; answers: string[] }[] {
  return text.trim().split(/\s*\|\s*/).map((row) => {
    const [entity = "", answer = ""] = row.split(/:\s*/);
    return { entity: entity.trim(), answers: /^an? /.test(answer) ? [answer] : answer.trim().split(" ") };
  });
}
