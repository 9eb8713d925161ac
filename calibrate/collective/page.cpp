#include "calibrate/collective/page.h"

#include "calibrate/collective/prediction_table.h"
#include "calibrate/collective/prefill_prediction.h"
#include "calibrate/collective/quick_reduce.h"
#include "calibrate/collective/socket_link.h"

namespace foretoken::calibrate {

std::string collectives_page(const std::string& folder) {
  return "# Collectives: predictions beside published measurements\n\n"
         "Made by `build/release/collective_predictions FOLDER`; a test holds it.\n\n" +
         to_markdown(predict_all_reduce(folder)) + "\n" +
         to_markdown(socket_bytes(), socket_gains(), byte_ratio()) + "\n" +
         to_markdown(predict_prefill()) + "\n" + to_markdown(predict_quick_reduce());
}

}  // namespace foretoken::calibrate
